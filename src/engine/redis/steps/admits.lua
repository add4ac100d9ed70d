-- Whether a side may join: the room exists, or there is space for one more.
-- ARGV[11] most rooms
-- Answers 1 or 0
if room.started then
  return answer(1)
end
local freeAt = redis.call("HGET", codeKey, "freeAt")
local max = tonumber(ARGV[11])
if not freeAt or now >= tonumber(freeAt) then
  max = math.floor(max / 2)
end
local busy = redis.call("ZCOUNT", busyKey, "(" .. digits(real), "+inf")
local empty = redis.call("ZCOUNT", emptyKey, "(" .. digits(now), "+inf")
local bare = redis.call("ZCOUNT", bareKey, "(" .. digits(now), "+inf")
return answer(busy + empty - bare < max and 1 or 0)
