-- Takes a code out, unless the guesser is locked, and counts a miss against all of its keys. One
-- operation id takes once, however often it asks.
-- KEYS live codes, codes in use, clients with codes, operation, the code's record, guessers, the
--   misses of whoever is one too many, then the misses of each of the guesser's keys
-- ARGV[3…] code, what the names of rooms' codes begin with, and those of clients' codes, ms that
--   the operation is remembered, window ms, most guessers told apart, most windows a lock is long,
--   then key and limit of each of the guesser's keys
-- Answers taken appId expiresAt | gone | locked ms
local live, used, clients, operation, record, guessers, sharedMisses = unpack(KEYS, 1, 7)
local code = ARGV[3]
local window, maxGuessers, maxWindows = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])

local done = redis.call("HMGET", operation, "room", "expiresAt")
if done[1] then
  return { "taken", done[1], tonumber(done[2]) }
end

redis.call("ZREMRANGEBYSCORE", guessers, "-inf", digits(now))
local counted = {}
local lockedUntil = 0
for i = 8, #KEYS do
  local name, limit = ARGV[10 + (i - 8) * 2], tonumber(ARGV[11 + (i - 8) * 2])
  local misses = KEYS[i]
  if not redis.call("ZSCORE", guessers, name) and redis.call("ZCARD", guessers) >= maxGuessers then
    name, misses = "", sharedMisses
  end
  counted[#counted + 1] = { name = name, misses = misses, limit = limit }
  lockedUntil = math.max(lockedUntil, tonumber(redis.call("HGET", misses, "lockedUntil") or 0))
end
if lockedUntil > now then
  return { "locked", lockedUntil - now }
end

redis.call("ZREMRANGEBYSCORE", live, "-inf", digits(now))
local entry = redis.call("HMGET", record, "room", "client", "expiresAt", "rest")
if redis.call("ZREM", live, code) == 1 and entry[1] then
  local appId, client, expiresAt, rest = entry[1], entry[2], entry[3], tonumber(entry[4])
  local freeAt = digits(now + rest)
  local ofRoom = ARGV[4] .. appId
  redis.call("ZADD", used, freeAt, code)
  redis.call("HSET", ofRoom, "state", "used", "freeAt", freeAt)
  keep(used, rest)
  keep(ofRoom, rest)
  if client and client ~= "" then
    local ofClient = ARGV[5] .. client
    redis.call("ZADD", ofClient, freeAt, code)
    local last = redis.call("ZRANGE", ofClient, -1, -1, "WITHSCORES")
    redis.call("ZADD", clients, last[2], client)
    keep(ofClient, rest)
    keep(clients, rest)
  end
  redis.call("HSET", operation, "room", appId, "expiresAt", expiresAt)
  redis.call("PEXPIRE", operation, ARGV[6])
  return { "taken", appId, tonumber(expiresAt) }
end

for _, guesser in ipairs(counted) do
  local known = redis.call("HMGET", guesser.misses, "count", "windowEnd", "lockedUntil", "locks", "forgetAt")
  local count, windowEnd, locked, locks, forgetAt = 0, 0, 0, 0, 0
  if now < tonumber(known[5] or 0) then
    count, windowEnd, locked = tonumber(known[1]), tonumber(known[2]), tonumber(known[3])
    locks, forgetAt = tonumber(known[4]), tonumber(known[5])
  end
  if now >= windowEnd then
    count, windowEnd = 0, now + window
  end
  count = count + 1
  if count >= guesser.limit then
    locked = now + math.min(2 ^ locks, maxWindows) * window
    windowEnd = locked
    locks = locks + 1
  end
  forgetAt = math.max(forgetAt, windowEnd + (locks > 0 and window or 0))
  redis.call("HSET", guesser.misses, "count", count, "windowEnd", digits(windowEnd),
    "lockedUntil", digits(locked), "locks", locks, "forgetAt", digits(forgetAt))
  redis.call("ZADD", guessers, digits(forgetAt), guesser.name)
  keep(guesser.misses, forgetAt - now)
  keep(guessers, forgetAt - now)
end
return { "gone" }
