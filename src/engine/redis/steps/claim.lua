-- Claims the first candidate that is free. One operation id claims once, however often it asks.
-- KEYS live codes, codes in use, clients with codes, operation, the room's code, the client's
--   codes, then one record a candidate
-- ARGV[3…] appId, ttl ms, rest ms, client or "", max live, max used, max per client (0: none),
--   ms that the operation is remembered, then the candidates
-- Answers claimed index expiresAt | client_full ms | crowded | collided
local live, used, clients, operation, ofRoom, ofClient = unpack(KEYS, 1, 6)
local appId, client = ARGV[3], ARGV[6]
local ttl, rest = tonumber(ARGV[4]), tonumber(ARGV[5])
local maxLive, maxUsed, maxPerClient = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local firstCandidate = 11

local done = redis.call("HMGET", operation, "code", "expiresAt")
if done[1] then
  return { "claimed", done[1], tonumber(done[2]) }
end
redis.call("ZREMRANGEBYSCORE", live, "-inf", digits(now))
redis.call("ZREMRANGEBYSCORE", used, "-inf", digits(now))
if client ~= "" then
  redis.call("ZREMRANGEBYSCORE", ofClient, "-inf", digits(now))
  if maxPerClient > 0 and redis.call("ZCARD", ofClient) >= maxPerClient then
    local first = redis.call("ZRANGE", ofClient, 0, 0, "WITHSCORES")
    return { "client_full", tonumber(first[2]) - now }
  end
end
if redis.call("ZCARD", live) >= maxLive or redis.call("ZCARD", used) >= maxUsed then
  return { "crowded" }
end
for i = firstCandidate, #ARGV do
  local code = ARGV[i]
  if not redis.call("ZSCORE", used, code) then
    local record = KEYS[7 + i - firstCandidate]
    local expiresAt, freeAt = digits(now + ttl), digits(now + ttl + rest)
    redis.call("ZADD", live, expiresAt, code)
    redis.call("ZADD", used, freeAt, code)
    redis.call("DEL", record)
    redis.call("HSET", record, "room", appId, "client", client, "expiresAt", expiresAt, "rest", ARGV[5])
    redis.call("HSET", ofRoom, "state", "live", "expiresAt", expiresAt, "freeAt", freeAt)
    redis.call("HSET", operation, "code", code, "expiresAt", expiresAt)
    redis.call("PEXPIRE", operation, ARGV[10])
    if client ~= "" then
      redis.call("ZADD", ofClient, freeAt, code)
      redis.call("ZADD", clients, "GT", freeAt, client)
      keep(ofClient, ttl + rest)
      keep(clients, ttl + rest)
    end
    keep(live, ttl)
    keep(used, ttl + rest)
    keep(record, ttl + rest)
    keep(ofRoom, ttl + rest)
    return { "claimed", code, tonumber(expiresAt) }
  end
end
return { "collided" }
