-- Begins the relay to the asker's seat, with what was held for it. Asked again, it answers the same.
-- ARGV[13…] "1" to drop what was held, most frames and bytes held
-- Answers begun, the number before the first frame, then the frames since then | lost | gone
if not mine then
  return answer(seatLost())
end
if not room[side .. "on"] then
  if ARGV[13] == "1" then
    stale = stale + clearHold(side)
  end
  begin(side, tonumber(ARGV[14]), tonumber(ARGV[15]))
end
return answer("begun", number(side .. "begin"), unpack(redis.call("LRANGE", ringKey[side], 0, -1)))
