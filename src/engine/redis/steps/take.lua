-- Takes a seat, in a new room too if there is space for one.
-- ARGV[11…] sid, how (free, same_sid, or the token of an occupant found dead), most rooms, first
--   and longest guard ms, and for one that had the seat before: the highest seq it has read, and
--   "1" when its relay had begun
-- Answers taken token peer firstPair held last mailWaits peerToken peerNode out | busy token | full
local sid, how = ARGV[11], ARGV[12]
local maxRooms, guardMs, guardMaxMs = tonumber(ARGV[13]), tonumber(ARGV[14]), tonumber(ARGV[15])
local knownSeq = tonumber(ARGV[16])

if not room.started then
  local freeAt = redis.call("HGET", codeKey, "freeAt")
  if not freeAt or now >= tonumber(freeAt) then
    maxRooms = math.floor(maxRooms / 2)
  end
  local busy = redis.call("ZCOUNT", busyKey, "(" .. digits(real), "+inf")
  local empty = redis.call("ZCOUNT", emptyKey, "(" .. digits(now), "+inf")
  local bare = redis.call("ZRANGEBYSCORE", bareKey, "(" .. digits(now), "+inf", "LIMIT", 0, math.max(1, busy + empty - maxRooms + 1))
  if busy + empty - redis.call("ZCOUNT", bareKey, "(" .. digits(now), "+inf") >= maxRooms then
    return answer("full")
  end
  for i = 1, busy + empty - maxRooms + 1 do
    local victim = bare[i]
    redis.call("ZREM", emptyKey, victim)
    redis.call("ZREM", bareKey, victim)
    local uses = redis.call("HGET", useKey, victim)
    if uses then
      local at = 0
      for used in string.gmatch(uses, "%S+") do
        at = at + 1
        if used ~= "0" then redis.call("HINCRBY", useKey, "*" .. at, "-" .. used) end
        if at == 5 then expired = expired + tonumber(used) end
      end
      redis.call("HDEL", useKey, victim)
    end
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
set(side .. "lease", real + leaseMs)
set(side .. "leftAt", nil)
set(side .. "waited", nil)
set("emptyAt", nil)
codeState()
if ARGV[17] == "1" then
  set(side .. "on", "1")
  set(side .. "begin", number(side .. "out"))
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
return answerAndKeep("taken", mine, peer and 1 or 0, firstPair and 1 or 0, number(side .. "held"),
  number(side .. "last"), mails(side) > 0 and 1 or 0, peer and tonumber(peer) or 0,
  peer and room[other .. "node"] or "", number(side .. "out"))
