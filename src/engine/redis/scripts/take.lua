-- Takes a seat, in a new room too if there is space for one.
-- ARGV[13…] sid, accounts, how (free, same_sid, or the token of an occupant found dead), most rooms,
--   first and longest guard ms, for one that had the seat before the highest seq it has read, and when
--   its relay begins at once: never, unheld (if nothing is held for it) or always; most frames and bytes
--   held
-- Answers taken token peer firstPair held last mailWaits peerToken peerNode, the number before the first
--   frame or -1 when relay has not begun | busy token | full | share_full
local sid, accounts, how = ARGV[13], ARGV[14], ARGV[15]
local maxRooms, guardMs, guardMaxMs = tonumber(ARGV[16]), tonumber(ARGV[17]), tonumber(ARGV[18])
local knownSeq, begins = tonumber(ARGV[19]), ARGV[20]

if not room.started then
  local space, tooMany = spaceForRoom(maxRooms, accounts)
  if space ~= "admitted" then
    return answer(space)
  end
  if tooMany > 0 then
    for _, victim in ipairs(redis.call("ZRANGEBYSCORE", bareKey, "(" .. digits(now), "+inf", "LIMIT", 0, tooMany)) do
      redis.call("ZREM", emptyKey, victim)
      redis.call("ZREM", bareKey, victim)
      local uses = numbersIn(redis.call("HGET", useKey, victim) or "")
      changeSums(uses, {})
      expired = expired + (uses["*5"] or 0)
      redis.call("HDEL", useKey, victim)
    end
  end
  if not isMinted() then
    set("owner", accounts)
  end
  set("started", now)
  -- µs: a room that was flushed and comes again, were it at once, gives out no token twice.
  set("tokens", clock[1] * 1000000 + clock[2])
end

local occupant = room[side .. "token"]
if occupant then
  local why
  if how == "same_sid" and sid ~= "" and room[side .. "sid"] == sid then
    local span, from = number(side .. "guardSpan"), number(side .. "guardFrom")
    if span > 0 and now < from + span then
      set(side .. "guardContested", "1")
    else
      local doubled = math.min(span * 2, guardMaxMs)
      set(side .. "guardSpan", room[side .. "guardContested"] and doubled or guardMs)
      set(side .. "guardFrom", now)
      set(side .. "guardContested", nil)
      why = "same_sid"
    end
  elseif how == occupant then
    why = "dead"
  end
  if not why then
    return answer("busy", tonumber(occupant))
  end
  tell(side, "replaced", why)
  clearRing(side)
  set(side .. "on", nil)
  tell(other, "left", occupant)
end

if number(side .. "held") > 0 and room[side .. "sid"] ~= sid then
  stale = stale + clearHold(side)
end
local mine = number("tokens") + 1
set("tokens", mine)
set(side .. "token", mine)
set(side .. "node", me)
set(side .. "sid", sid)
set(side .. "accounts", accounts)
set(side .. "lease", real + leaseMs)
set(side .. "leftAt", nil)
set(side .. "waited", nil)
set("emptyAt", nil)
codeState()
local held = number(side .. "held")
if begins ~= "never" and held == 0 then
  note(side .. "on", "1")
  note(side .. "begin", number(side .. "out"))
elseif begins == "always" then
  begin(side, tonumber(ARGV[21]), tonumber(ARGV[22]))
end
if knownSeq > number(side .. "sent") then
  local moved = knownSeq - number(side .. "acked")
  set(side .. "acked", knownSeq)
  set(side .. "last", number(side .. "last") + moved)
  set(side .. "sent", knownSeq)
end
local peer = room[other .. "token"]
local firstPair = peer and not room.paired
if firstPair then
  set("paired", "1")
end
tell(other, "joined", digits(mine) .. " " .. me)
return answerAndKeep("taken", mine, peer and 1 or 0, firstPair and 1 or 0, held,
  number(side .. "last"), mails(side) > 0 and 1 or 0, peer and tonumber(peer) or 0,
  peer and room[other .. "node"] or "", room[side .. "on"] and number(side .. "begin") or -1)
