-- Waits for an occupied seat, in the place of the one that waited before.
-- ARGV[13] the waiter: its node, a slash, and what it is called there
-- Answers how many have waited for this occupant, or 0 when the seat is free
if not room[side .. "token"] then
  return answer(0)
end
tellWaiter(side, "displaced")
note(side .. "waiter", ARGV[13])
note(side .. "waited", number(side .. "waited") + 1)
return answer(number(side .. "waited"))
