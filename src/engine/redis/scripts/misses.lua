-- Stands before the scripts about codes, after the prelude. Misses of everybody are a hash: the number of
-- the current window, misses in it and in the one before, and of all time by the number of digits.

-- Misses in this window, and in the one before it.
local function missesOfLate(all, window)
  local known = redis.call("HMGET", all, "window", "current", "previous")
  local behind = math.floor(now / window) - tonumber(known[1] or 0)
  if behind == 0 then
    return tonumber(known[2]), tonumber(known[3])
  end
  return 0, behind == 1 and tonumber(known[2]) or 0
end
