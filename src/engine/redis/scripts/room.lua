-- Stands between the prelude and every script that concerns one room.
-- KEYS[1…17] the room, then for A and B each: mail, hold, ring, ids, ids in order; then the room's
--   code, busy rooms by the end of their last lease, empty rooms by when they are forgotten, those
--   of them without mail, what each room uses, and rooms with a hold by when that is over
-- ARGV[3…12] appId, side, token or "", prefix of all keys, room ttl ms, relay hold ms, lease ms,
--   the asking node, most bytes over everything held, most bytes over all rings
--
-- Accounts are written as words: a letter of `partOf`, by their kind, and the account's key.
--
-- The room is a hash. Of the room: started, tokens, paired, established, emptyAt, redeemed, owner
-- (the accounts that it counts to), mailBy (the accounts that mail counts to, each with its bytes),
-- uses. Of a side, after its letter: token, node, sid, accounts (the last occupant's), lease, on
-- (relay has begun), leftAt, waited, waiter, guardSpan, guardFrom, guardContested, out
-- (number of the last frame sent to it), begin (that number when its relay began), ringBytes and
-- ringCost (as spent, and as counted), ringEnd (when it may go), held, heldBytes, acked, last, sent,
-- mailBytes (of payload), idBytes (as counted), refusing.
local appId, side, token = ARGV[3], ARGV[4], ARGV[5]
local prefix, me = ARGV[6], ARGV[10]
local roomTtl, relayHold, leaseMs = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9])
local maxTotal, maxRings = tonumber(ARGV[11]), tonumber(ARGV[12])
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
-- Sets a field that nothing is counted by.
local function note(field, value)
  if type(value) == "number" then
    value = digits(value)
  end
  room[field], changed[field] = value, value or false
end
local recount = false
local function set(field, value)
  recount = true
  note(field, value)
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

-- "field=number field=number" as a table, and back.
local function numbersIn(text)
  local numbers = {}
  for field, number in string.gmatch(text or "", "(%S+)=(%S+)") do
    numbers[field] = tonumber(number)
  end
  return numbers
end
local function textOf(numbers)
  local words = {}
  for field, number in pairs(numbers) do
    if number ~= 0 then words[#words + 1] = field .. "=" .. digits(number) end
  end
  table.sort(words)
  return table.concat(words, " ")
end

-- Changes the sums over all rooms by what became of one room's part of them. They are *1 peers, *2
-- mailboxes, *3 mails, *4 their bytes, *5 held frames, *6 their bytes, *7 bytes of ids, *8 of rings;
-- and of an account *b its bytes of mail, held frames and ids, *f those in rings, *r its rooms.
local function changeSums(before, after)
  local function change(field, difference)
    if difference ~= 0 and redis.call("HINCRBY", useKey, field, digits(difference)) <= 0 then
      redis.call("HDEL", useKey, field)
    end
  end
  for field, number in pairs(after) do
    change(field, number - (before[field] or 0))
  end
  for field, number in pairs(before) do
    if not after[field] then change(field, -number) end
  end
end

-- What the room uses of all that is counted. Told by difference, so that it cannot drift. Held frames
-- and rings count to the last occupant of the other side, and ids to that of their own.
local function account()
  local uses = {}
  local function add(field, number)
    if number ~= 0 then uses[field] = (uses[field] or 0) + number end
  end
  local function addTo(accounts, kind, number)
    if number == 0 or not accounts then return end
    for word in string.gmatch(accounts, "%S+") do add(kind .. word, number) end
  end
  for _, of in ipairs({ "A", "B" }) do
    local own, sender = room[of .. "accounts"], room[otherOf[of] .. "accounts"]
    local held, ids, ring = number(of .. "held"), number(of .. "idBytes"), number(of .. "ringCost")
    local heldBytes = number(of .. "heldBytes") + held * entryCost
    if room[of .. "token"] then add("*1", 1) end
    if room[of .. "last"] then add("*2", 1) end
    add("*3", mails(of))
    add("*4", number(of .. "mailBytes") + mails(of) * entryCost)
    add("*5", held)
    add("*6", heldBytes)
    add("*7", ids)
    add("*8", ring)
    addTo(sender, "*b", heldBytes)
    addTo(own, "*b", ids)
    addTo(sender, "*f", ring)
  end
  if room.mailBy then
    for word, bytes in pairs(numbersIn(room.mailBy)) do add("*b" .. word, bytes) end
  end
  addTo(room.owner, "*r", 1)
  local text = textOf(uses)
  if text == room.uses then
    return
  end
  changeSums(numbersIn(redis.call("HGET", useKey, appId) or ""), uses)
  if room.started then
    redis.call("HSET", useKey, appId, text)
    note("uses", text)
  else
    redis.call("HDEL", useKey, appId)
  end
  keep(useKey, roomTtl + relayHold + leaseMs)
end

-- Whether so much more would be past the share of `max` that one of the accounts may have.
local function pastShare(kind, accounts, more, max)
  for word in string.gmatch(accounts or "", "%S+") do
    local part = partOf[string.sub(word, 1, 1)] or partOf.c
    local has = tonumber(redis.call("HGET", useKey, kind .. word) or 0)
    if has + more > math.max(1, math.floor(max / part)) then
      return true
    end
  end
  return false
end
-- Which bound stands against so many bytes more from the asker: "full", "share_full", or nil.
local function boundAgainst(bytes)
  local sums = redis.call("HMGET", useKey, "*4", "*6", "*7")
  local total = tonumber(sums[1] or 0) + tonumber(sums[2] or 0) + tonumber(sums[3] or 0)
  if total + bytes > maxTotal then
    return "full"
  end
  return pastShare("*b", room[side .. "accounts"], bytes, maxTotal) and "share_full" or nil
end
-- The room's code was minted here, and is remembered.
local function isMinted()
  local freeAt = redis.call("HGET", codeKey, "freeAt")
  return freeAt and now < tonumber(freeAt)
end
-- Whether there is space for this room, which is new, and how many have to give way to it.
local function spaceForRoom(maxRooms, accounts)
  local minted = isMinted()
  local max = minted and maxRooms or math.floor(maxRooms / 2)
  local busy = redis.call("ZCOUNT", busyKey, "(" .. digits(real), "+inf")
  local empty = redis.call("ZCOUNT", emptyKey, "(" .. digits(now), "+inf")
  local bare = redis.call("ZCOUNT", bareKey, "(" .. digits(now), "+inf")
  if busy + empty - bare >= max then
    return "full"
  end
  if not minted and pastShare("*r", accounts, 1, max) then
    return "share_full"
  end
  return "admitted", busy + empty - max + 1
end
-- Counts so many bytes of mail to the accounts; below 0: gives them back.
local function countMail(accounts, bytes)
  local by = numbersIn(room.mailBy)
  for word in string.gmatch(accounts, "%S+") do
    by[word] = (by[word] or 0) + bytes
  end
  local text = textOf(by)
  set("mailBy", text ~= "" and text or nil)
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
  set(of .. "ringCost", nil)
  set(of .. "ringEnd", nil)
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
  set(of .. "on", nil)
  if room[otherOf[of] .. "token"] then
    tell(otherOf[of], "left", who)
  else
    set("emptyAt", at)
  end
  tellWaiter(of, "vacant")
end

-- Brings the sums up to date with what this script has changed so far.
local function countNow()
  if room.started and recount then
    account()
    recount = false
  end
end

local function finish(keepAll)
  countNow()
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

-- What a script answers: what was given up on the way, then the script's own words.
local function answer(...)
  finish(false)
  return { stale, expired, forgotten, ... }
end
-- As `answer`, for scripts after which the room may not be looked at for long.
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
    if room[of .. "ringEnd"] and now >= number(of .. "ringEnd") then
      clearRing(of)
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

-- Has a look at the room at `at`, when what it keeps for a moment is over.
local function lookAgain(at)
  redis.call("ZADD", holdsKey, "NX", digits(at), appId)
  keep(holdsKey, at - now)
end

-- Sends a frame to a side whose relay has begun, and keeps it for as long as it may get lost. What
-- was held comes this way too: the ring has space for a full hold and as much again. It counts by
-- powers of two, so that a frame seldom changes a sum. A ring that may not grow is cleared: the frame
-- goes out all the same, but if it gets lost on its way it is lost.
local function deliver(to, kind, frame, maxFrames, maxBytes)
  local out = number(to .. "out") + 1
  note(to .. "out", out)
  tell(to, "frame", out .. " " .. kind .. "\n" .. frame)
  local ring, ringMs = ringKey[to], math.max(relayHold, 5000)
  local bytes, counted = number(to .. "ringBytes") + #frame, number(to .. "ringCost")
  local count = redis.call("RPUSH", ring, out .. " " .. kind .. " " .. frame)
  while count > 1 and (count > 2 * maxFrames or bytes > 2 * maxBytes) do
    local _, head = string.find(redis.call("LINDEX", ring, 0), "^%d+ %S+ ")
    bytes = bytes - (#redis.call("LPOP", ring) - head)
    count = count - 1
  end
  local cost = 1024
  while cost < entryCost + bytes + count * 32 do
    cost = cost * 2
  end
  if cost > counted then
    countNow()
    local rings = tonumber(redis.call("HGET", useKey, "*8") or 0)
    local more = cost - counted
    if rings + more > maxRings or pastShare("*f", room[otherOf[to] .. "accounts"], more, maxRings) then
      return clearRing(to)
    end
  end
  if cost ~= counted then
    set(to .. "ringCost", cost)
  end
  note(to .. "ringBytes", bytes)
  if number(to .. "ringEnd") < now + ringMs then
    -- A quarter longer than it has to be: few frames have to move it.
    note(to .. "ringEnd", now + ringMs * 1.25)
    lookAgain(now + ringMs * 1.25)
    keep(ring, ringMs * 1.25)
  end
end

-- Begins the relay to a side with what was held for it.
local function begin(of, maxFrames, maxBytes)
  local held = redis.call("LRANGE", holdKey[of], 0, -1)
  clearHold(of)
  note(of .. "on", "1")
  note(of .. "begin", number(of .. "out"))
  tell(of, "begun", digits(number(of .. "out")))
  for _, entry in ipairs(held) do
    local kind, frame = string.match(entry, "^%d+ (%S+) (.*)$")
    deliver(of, kind, frame, maxFrames, maxBytes)
  end
end
