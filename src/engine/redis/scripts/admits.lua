-- Whether a side may join: the room exists, or there is space for one more.
-- ARGV[13…] most rooms, accounts
-- Answers admitted | full | share_full
if room.started then
  return answer("admitted")
end
return answer((spaceForRoom(tonumber(ARGV[13]), ARGV[14])))
