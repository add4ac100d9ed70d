-- Takes a code out, unless the guesser is locked, and counts a miss against all of its accounts and for
-- everybody. One operation id takes once, however often it asks.
-- KEYS live codes, codes in use, accounts with codes, operation, the code's record, accounts with
--   misses, misses of everybody, then the misses of each of the guesser's accounts
-- ARGV[3…] code, what the names of rooms' codes begin with, and those of accounts' codes, ms that
--   the operation is remembered, window ms, most accounts counted apart, then key, limit and longest lock
--   in windows of each of the guesser's accounts, from its own to its site's. Where that is 0, at the
--   limit the accounts before it have the limit of the first.
-- Answers what and the recent misses, then: taken appId expiresAt | gone | withdrawn | locked ms
local live, used, clients, operation, record, guessers, allMisses = unpack(KEYS, 1, 7)
local code = ARGV[3]
local window, maxGuessers = tonumber(ARGV[7]), tonumber(ARGV[8])

local current, previous = missesOfLate(allMisses, window)
local recent = current + previous
local done = redis.call("HMGET", operation, "room", "expiresAt")
if done[1] then
  return { "taken", recent, done[1], tonumber(done[2]) }
end

redis.call("ZREMRANGEBYSCORE", guessers, "-inf", digits(now))
local lockedUntil = 0
for i = 8, #KEYS do
  lockedUntil = math.max(lockedUntil, tonumber(redis.call("HGET", KEYS[i], "lockedUntil") or 0))
end
if lockedUntil > now then
  return { "locked", recent, lockedUntil - now }
end

redis.call("ZREMRANGEBYSCORE", live, "-inf", digits(now))
local entry = redis.call("HMGET", record, "room", "accounts", "expiresAt", "rest", "withdrawAt")
if entry[1] and redis.call("ZSCORE", live, code) then
  if tonumber(redis.call("HGET", allMisses, #code) or 0) >= tonumber(entry[5] or 250) then
    return { "withdrawn", recent }
  end
  redis.call("ZREM", live, code)
  local appId, expiresAt, rest = entry[1], entry[3], tonumber(entry[4])
  local freeAt = digits(now + rest)
  local ofRoom = ARGV[4] .. appId
  redis.call("ZADD", used, freeAt, code)
  redis.call("HSET", ofRoom, "state", "used", "freeAt", freeAt)
  keep(used, rest)
  keep(ofRoom, rest)
  for account in string.gmatch(entry[2] or "", "%S+") do
    local held = ARGV[5] .. account
    redis.call("ZADD", held, freeAt, code)
    local last = redis.call("ZRANGE", held, -1, -1, "WITHSCORES")
    redis.call("ZADD", clients, last[2], account)
    keep(held, rest)
    keep(clients, rest)
  end
  redis.call("HSET", operation, "room", appId, "expiresAt", expiresAt)
  redis.call("PEXPIRE", operation, ARGV[6])
  return { "taken", recent, appId, tonumber(expiresAt) }
end

redis.call("HSET", allMisses, "window", digits(math.floor(now / window)),
  "current", digits(current + 1), "previous", digits(previous))
redis.call("HINCRBY", allMisses, #code, 1)
keep(allMisses, math.max(2 * window, redis.call("PTTL", live)))
local siteIsFull = false
for i = #KEYS, 8, -1 do
  local at = 9 + (i - 8) * 3
  local name, limit, longest = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2])
  if siteIsFull then
    limit = tonumber(ARGV[10])
  end
  if redis.call("ZSCORE", guessers, name) or redis.call("ZCARD", guessers) < maxGuessers then
    local known = redis.call("HMGET", KEYS[i], "count", "windowEnd", "lockedUntil", "locks", "forgetAt")
    local count, windowEnd, locked, locks, forgetAt = 0, 0, 0, 0, 0
    if now < tonumber(known[5] or 0) then
      count, windowEnd, locked = tonumber(known[1]), tonumber(known[2]), tonumber(known[3])
      locks, forgetAt = tonumber(known[4]), tonumber(known[5])
    end
    if now >= windowEnd then
      count, windowEnd = 0, now + window
    end
    count = count + 1
    if longest == 0 then
      siteIsFull = count >= limit
    elseif count >= limit then
      locked = now + math.min(2 ^ locks, longest) * window
      windowEnd = locked
      locks = locks + 1
    end
    forgetAt = math.max(forgetAt, windowEnd + (locks > 0 and window or 0))
    redis.call("HSET", KEYS[i], "count", count, "windowEnd", digits(windowEnd),
      "lockedUntil", digits(locked), "locks", locks, "forgetAt", digits(forgetAt))
    redis.call("ZADD", guessers, digits(forgetAt), name)
    keep(KEYS[i], forgetAt - now)
    keep(guessers, forgetAt - now)
  end
end
return { "gone", recent + 1 }
