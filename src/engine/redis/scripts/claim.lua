-- Claims the first candidate that is free. One operation id claims once, however often it asks.
-- KEYS live codes, codes in use, accounts with codes, operation, the room's code, misses of everybody,
--   then the codes of each account, then one record a candidate
-- ARGV[3…] appId, ttl ms, rest ms, max live, max used, ms that the operation is remembered, window ms,
--   how many accounts, how many allowances, then key and limit of each account, then recent misses
--   and misses of each allowance, then the candidates
-- Answers what and the recent misses, then: claimed code expiresAt | client_full ms | crowded | collided
local live, used, clients, operation, ofRoom, allMisses = unpack(KEYS, 1, 6)
local appId, ttl, rest = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local maxLive, maxUsed, window = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[9])
local accounts, allowances = tonumber(ARGV[10]), tonumber(ARGV[11])
local firstAllowance = 12 + 2 * accounts
local firstCandidate = firstAllowance + 2 * allowances

local current, previous = missesOfLate(allMisses, window)
local recent = current + previous
local done = redis.call("HMGET", operation, "code", "expiresAt")
if done[1] then
  return { "claimed", recent, done[1], tonumber(done[2]) }
end
redis.call("ZREMRANGEBYSCORE", live, "-inf", digits(now))
redis.call("ZREMRANGEBYSCORE", used, "-inf", digits(now))
for i = 1, accounts do
  local held = KEYS[6 + i]
  redis.call("ZREMRANGEBYSCORE", held, "-inf", digits(now))
  if redis.call("ZCARD", held) >= tonumber(ARGV[11 + 2 * i]) then
    local first = redis.call("ZRANGE", held, 0, 0, "WITHSCORES")
    return { "client_full", recent, tonumber(first[2]) - now }
  end
end
local allowed
for i = firstAllowance, firstCandidate - 1, 2 do
  if recent <= tonumber(ARGV[i]) then
    allowed = tonumber(ARGV[i + 1])
    break
  end
end
if not allowed or redis.call("ZCARD", live) >= maxLive or redis.call("ZCARD", used) >= maxUsed then
  return { "crowded", recent }
end
for i = firstCandidate, #ARGV do
  local code = ARGV[i]
  if not redis.call("ZSCORE", used, code) then
    local record = KEYS[7 + accounts + i - firstCandidate]
    local expiresAt, freeAt = digits(now + ttl), digits(now + ttl + rest)
    local withdrawAt = tonumber(redis.call("HGET", allMisses, #code) or 0) + allowed
    local holders = {}
    for account = 1, accounts do
      holders[account] = ARGV[10 + 2 * account]
    end
    redis.call("ZADD", live, expiresAt, code)
    redis.call("ZADD", used, freeAt, code)
    redis.call("DEL", record)
    redis.call("HSET", record, "room", appId, "accounts", table.concat(holders, " "),
      "expiresAt", expiresAt, "rest", ARGV[5], "withdrawAt", digits(withdrawAt))
    redis.call("HSET", ofRoom, "state", "live", "expiresAt", expiresAt, "freeAt", freeAt)
    redis.call("HSET", operation, "code", code, "expiresAt", expiresAt)
    redis.call("PEXPIRE", operation, ARGV[8])
    for account, holder in ipairs(holders) do
      redis.call("ZADD", KEYS[6 + account], freeAt, code)
      redis.call("ZADD", clients, "GT", freeAt, holder)
      keep(KEYS[6 + account], ttl + rest)
      keep(clients, ttl + rest)
    end
    keep(live, ttl)
    keep(used, ttl + rest)
    keep(record, ttl + rest)
    keep(ofRoom, ttl + rest)
    -- Where they were forgotten, the code would be allowed its misses anew.
    keep(allMisses, ttl)
    return { "claimed", recent, code, tonumber(expiresAt) }
  end
end
return { "collided", recent }
