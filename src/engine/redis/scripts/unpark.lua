-- Gives a waiter's place up, unless it is another's by now.
-- ARGV[13] the waiter
if room[side .. "waiter"] == ARGV[13] then
  note(side .. "waiter", nil)
end
return answer(1)
