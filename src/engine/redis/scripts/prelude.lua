-- Stands before every script.
-- ARGV[1] deadline: ms of this server's clock past which the asker has given up; 0 for never
-- ARGV[2] offset: ms added to the clock for whatever expires; only contract tests set it
-- A late script changes nothing and answers "late".
local clock = redis.call("TIME")
local real = clock[1] * 1000 + math.floor(clock[2] / 1000)
if tonumber(ARGV[1]) > 0 and real >= tonumber(ARGV[1]) then
  return { "late" }
end
local now = real + tonumber(ARGV[2])

-- Whole numbers of any size, without an exponent.
local function digits(number)
  return string.format("%.0f", number)
end

-- Expiry is data; this only collects garbage, a minute after `ms` at the soonest or half of that.
local function keep(key, ms)
  if redis.call("PTTL", key) < ms + 30000 then
    redis.call("PEXPIRE", key, digits(ms + 60000))
  end
end
