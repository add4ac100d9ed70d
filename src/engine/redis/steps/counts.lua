-- Counts codes.
-- KEYS live codes, codes in use
-- Answers live, in use
redis.call("ZREMRANGEBYSCORE", KEYS[1], "-inf", digits(now))
redis.call("ZREMRANGEBYSCORE", KEYS[2], "-inf", digits(now))
return { redis.call("ZCARD", KEYS[1]), redis.call("ZCARD", KEYS[2]) }
