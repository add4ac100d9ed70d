-- Finds what is due, and sums up what is held.
-- KEYS live codes, codes in use, clients with codes, guessers, busy rooms, empty rooms, what each
--   room uses, rooms with a hold, misses of everybody
-- ARGV[3…] most rooms to name, window ms in which misses count
-- Answers live, in use, clients, guessers, rooms, peers, mailboxes, mails, mail bytes, held frames,
--   held bytes, bytes of ids, bytes of rings, recent misses, then the rooms that are due
for i = 1, 4 do
  redis.call("ZREMRANGEBYSCORE", KEYS[i], "-inf", digits(now))
end
local found = {}
for i = 1, 4 do
  found[i] = redis.call("ZCARD", KEYS[i])
end
found[5] = redis.call("ZCARD", KEYS[5]) + redis.call("ZCARD", KEYS[6])
local sums = redis.call("HMGET", KEYS[7], "*1", "*2", "*3", "*4", "*5", "*6", "*7", "*8")
for i = 1, 8 do
  found[5 + i] = tonumber(sums[i] or 0)
end
local current, previous = missesOfLate(KEYS[9], tonumber(ARGV[4]))
found[14] = current + previous
for _, appId in ipairs(redis.call("ZRANGEBYSCORE", KEYS[5], "-inf", "(" .. digits(real), "LIMIT", 0, ARGV[3])) do
  found[#found + 1] = appId
end
for _, appId in ipairs(redis.call("ZRANGEBYSCORE", KEYS[6], "-inf", digits(now), "LIMIT", 0, ARGV[3])) do
  found[#found + 1] = appId
end
for _, appId in ipairs(redis.call("ZRANGEBYSCORE", KEYS[8], "-inf", digits(now), "LIMIT", 0, ARGV[3])) do
  found[#found + 1] = appId
  redis.call("ZREM", KEYS[8], appId)
end
return found
