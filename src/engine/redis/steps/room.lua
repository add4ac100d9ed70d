-- Stands between the prelude and every step that concerns one room.
-- KEYS[1…17] the room, then for A and B each: mail, hold, ring, ids, ids in order; then the room's
--   code, busy rooms by the end of their last lease, empty rooms by when they are forgotten, those
--   of them without mail, what each room uses, and rooms with a hold by when that is over
-- ARGV[3…10] appId, side, token or "", prefix of all keys, room ttl ms, relay hold ms, lease ms,
--   the asking node
--
-- The room is a hash. Of the room: started, tokens, paired, established, emptyAt, redeemed. Of a
-- side, after its letter: token, node, sid, lease, on (relay has begun), leftAt, waited, waiter,
-- guardSpan, guardFrom, guardContested, grants, out (number of the last frame sent to it), begin
-- (that number when its relay began), ringBytes, heldBytes, acked, last, sent, mailBytes, refusing.
local appId, side, token = ARGV[3], ARGV[4], ARGV[5]
local prefix, me = ARGV[6], ARGV[10]
local roomTtl, relayHold, leaseMs = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local mailKey = { A = KEYS[2], B = KEYS[3] }
local holdKey = { A = KEYS[4], B = KEYS[5] }
local ringKey = { A = KEYS[6], B = KEYS[7] }
local idsKey = { A = KEYS[8], B = KEYS[9] }
local idOrderKey = { A = KEYS[10], B = KEYS[11] }
local codeKey, busyKey, emptyKey, bareKey, useKey, holdsKey = unpack(KEYS, 12, 17)
local otherOf = { A = "B", B = "A" }
local other = otherOf[side]
local stale, expired, forgotten = 0, 0, 0

local room, changed = {}, {}
do
  local flat = redis.call("HGETALL", KEYS[1])
  for i = 1, #flat, 2 do
    room[flat[i]] = flat[i + 1]
  end
end
local function number(field)
  return tonumber(room[field]) or 0
end
local function set(field, value)
  if type(value) == "number" then
    value = digits(value)
  end
  room[field], changed[field] = value, value or false
end

local function tell(whom, kind, extra)
  if room[whom .. "token"] then
    local head = kind .. " " .. appId .. " " .. whom .. " " .. room[whom .. "token"]
    return redis.call("PUBLISH", prefix .. "node:" .. room[whom .. "node"], extra and head .. " " .. extra or head)
  end
end
local function tellWaiter(whom, kind)
  local waiter = room[whom .. "waiter"]
  if waiter then
    redis.call("PUBLISH", prefix .. "node:" .. string.match(waiter, "^[^/]+"), kind .. " " .. waiter)
  end
end

local function mails(of)
  return number(of .. "last") - number(of .. "acked")
end
local function mailWaits()
  return mails("A") > 0 or mails("B") > 0
end

-- "used" for good once the room's code was taken, "live" while it can be, or nil.
local function codeState()
  if room.redeemed then
    return "used"
  end
  local code = redis.call("HMGET", codeKey, "state", "expiresAt", "freeAt")
  if code[1] == "used" and now < tonumber(code[3]) then
    if room.started then
      set("redeemed", "1")
    end
    return "used"
  end
  if code[1] == "live" and now < tonumber(code[2]) then
    return "live"
  end
end

local function overAt()
  return number("emptyAt") + ((mailWaits() or codeState()) and roomTtl or relayHold)
end

-- What the room uses, in the sums over all rooms. Told by difference, so that it cannot drift.
local function account()
  local uses = { 0, 0, 0, 0, 0, 0 }
  for _, of in ipairs({ "A", "B" }) do
    if room[of .. "token"] then uses[1] = uses[1] + 1 end
    if room[of .. "last"] then uses[2] = uses[2] + 1 end
    uses[3] = uses[3] + mails(of)
    uses[4] = uses[4] + number(of .. "mailBytes")
    uses[5] = uses[5] + number(of .. "held")
    uses[6] = uses[6] + number(of .. "heldBytes")
  end
  for i = 1, 6 do
    uses[i] = digits(uses[i])
  end
  local text = table.concat(uses, " ")
  if text == room.uses then
    return
  end
  local before = redis.call("HGET", useKey, appId) or "0 0 0 0 0 0"
  local at = 0
  for was in string.gmatch(before, "%S+") do
    at = at + 1
    local difference = tonumber(uses[at]) - tonumber(was)
    if difference ~= 0 then
      redis.call("HINCRBY", useKey, "*" .. at, digits(difference))
    end
  end
  if room.started then
    redis.call("HSET", useKey, appId, text)
    set("uses", text)
  else
    redis.call("HDEL", useKey, appId)
  end
  keep(useKey, roomTtl + relayHold + leaseMs)
end

local function forget()
  expired = expired + number("Aheld") + number("Bheld")
  forgotten = forgotten + mails("A") + mails("B")
  redis.call("DEL", unpack(KEYS, 1, 11))
  redis.call("ZREM", busyKey, appId)
  redis.call("ZREM", emptyKey, appId)
  redis.call("ZREM", bareKey, appId)
  room, changed = {}, {}
  account()
end

-- Where the room stands among all rooms.
local function register()
  if room.emptyAt then
    redis.call("ZREM", busyKey, appId)
    redis.call("ZADD", emptyKey, digits(overAt()), appId)
    if mailWaits() then
      redis.call("ZREM", bareKey, appId)
    else
      redis.call("ZADD", bareKey, digits(overAt()), appId)
    end
  else
    redis.call("ZADD", busyKey, digits(math.max(number("Alease"), number("Blease"))), appId)
    redis.call("ZREM", emptyKey, appId)
    redis.call("ZREM", bareKey, appId)
  end
  for _, key in ipairs({ busyKey, emptyKey, bareKey, useKey }) do
    keep(key, roomTtl + relayHold + leaseMs)
  end
end

local function clearRing(of)
  redis.call("DEL", ringKey[of])
  set(of .. "ringBytes", nil)
  set(of .. "on", nil)
end
local function clearHold(of)
  local count = number(of .. "held")
  redis.call("DEL", holdKey[of])
  set(of .. "held", nil)
  set(of .. "heldBytes", nil)
  return count
end

-- The side is free since `at`.
local function vacate(of, at)
  local who = room[of .. "token"]
  set(of .. "token", nil)
  set(of .. "lease", nil)
  set(of .. "leftAt", at)
  clearRing(of)
  if room[otherOf[of] .. "token"] then
    tell(otherOf[of], "left", who)
  else
    set("emptyAt", at)
  end
  tellWaiter(of, "vacant")
end

local function finish(keepAll)
  if room.started then
    account()
  end
  local sets, drops = {}, {}
  for field, value in pairs(changed) do
    if value then
      sets[#sets + 1] = field
      sets[#sets + 1] = value
    else
      drops[#drops + 1] = field
    end
  end
  if #drops > 0 then
    redis.call("HDEL", KEYS[1], unpack(drops))
  end
  if #sets > 0 then
    redis.call("HSET", KEYS[1], unpack(sets))
  end
  if keepAll and room.started then
    for i = 1, 11 do
      if redis.call("EXISTS", KEYS[i]) == 1 then
        keep(KEYS[i], roomTtl + relayHold + leaseMs)
      end
    end
  end
end

-- What a step answers: what was given up on the way, then the step's own words.
local function answer(...)
  finish(false)
  return { stale, expired, forgotten, ... }
end
-- As `answer`, for steps after which somebody may not look at the room for long.
local function answerAndKeep(...)
  if room.started then
    register()
  end
  finish(true)
  return { stale, expired, forgotten, ... }
end

-- Who holds no lease any more has left; a room whose time is over is not there.
local mine = token ~= "" and room[side .. "token"] == token
do
  local settled = false
  for _, of in ipairs({ "A", "B" }) do
    if room[of .. "token"] and real > number(of .. "lease") and not (mine and of == side) then
      vacate(of, now - (real - number(of .. "lease")))
      settled = true
    end
  end
  for _, of in ipairs({ "A", "B" }) do
    local leftAt = room[of .. "leftAt"]
    if leftAt and number(of .. "held") > 0 and now >= tonumber(leftAt) + relayHold then
      expired = expired + clearHold(of)
    end
  end
  if room.emptyAt and not settled and not redis.call("ZSCORE", emptyKey, appId) then
    forget() -- It gave way to another.
  elseif room.emptyAt and overAt() <= now then
    forget()
  elseif settled then
    register()
  end
end
-- What became of the asker's seat when it is not `mine`.
local function seatLost()
  return room[side .. "token"] and "lost" or "gone"
end

-- Sends a frame to a side whose relay has begun, and keeps it for as long as it may get lost. What
-- was held comes this way too: the ring has space for a full hold and as much again.
local function deliver(to, kind, frame, maxFrames, maxBytes)
  local out = number(to .. "out") + 1
  local bytes = number(to .. "ringBytes") + #frame
  set(to .. "out", out)
  local ring = ringKey[to]
  local count = redis.call("RPUSH", ring, out .. " " .. kind .. " " .. frame)
  while count > 1 and (count > 2 * maxFrames or bytes > 2 * maxBytes) do
    local _, head = string.find(redis.call("LINDEX", ring, 0), "^%d+ %S+ ")
    bytes = bytes - (#redis.call("LPOP", ring) - head)
    count = count - 1
  end
  set(to .. "ringBytes", bytes)
  redis.call("PEXPIRE", ring, digits(math.max(relayHold, 5000)))
  tell(to, "frame", out .. " " .. (room[otherOf[to] .. "token"] or "0") .. " " .. (room[otherOf[to] .. "node"] or "-") .. " " .. kind .. "\n" .. frame)
end

-- Begins the relay to a side with what was held for it.
local function begin(of, maxFrames, maxBytes)
  local held = redis.call("LRANGE", holdKey[of], 0, -1)
  clearHold(of)
  set(of .. "on", "1")
  set(of .. "begin", number(of .. "out"))
  tell(of, "begun", digits(number(of .. "out")))
  for _, entry in ipairs(held) do
    local kind, frame = string.match(entry, "^%d+ (%S+) (.*)$")
    deliver(of, kind, frame, maxFrames, maxBytes)
  end
end
