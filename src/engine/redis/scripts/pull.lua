-- The frames that were sent to the asker's seat of late.
-- Answers frames, the number of the last one sent, then those that are still kept | lost | gone
if not mine then
  return answer(seatLost())
end
return answer("frames", number(side .. "out"), unpack(redis.call("LRANGE", ringKey[side], 0, -1)))
