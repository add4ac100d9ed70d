-- Relays a frame, or holds it for a side that is between two sockets.
-- ARGV[11…] type, frame, most frames and bytes held, most bytes over everything held
-- Answers delivered number | held | no_peer | hold_full | lost | gone
local kind, frame = ARGV[11], ARGV[12]
local maxFrames, maxBytes, maxTotal = tonumber(ARGV[13]), tonumber(ARGV[14]), tonumber(ARGV[15])
if not mine then
  return answer(seatLost())
end
local peer = room[other .. "token"]
if not (peer and room[other .. "on"]) then
  local leftAt = room[other .. "leftAt"]
  if not peer and (not leftAt or now >= tonumber(leftAt) + relayHold) then
    return answer("no_peer")
  end
  if kind == "offer" and number(other .. "held") > 0 then
    local held = redis.call("LRANGE", holdKey[other], 0, -1)
    local before = clearHold(other)
    local kept, bytes = 0, 0
    for _, entry in ipairs(held) do
      local head, from = string.match(entry, "^((%d+) %S+ )")
      if from == token then
        redis.call("RPUSH", holdKey[other], entry)
        kept, bytes = kept + 1, bytes + #entry - #head
      end
    end
    set(other .. "held", kept)
    set(other .. "heldBytes", bytes)
    keep(holdKey[other], relayHold)
    stale = stale + before - kept
    account()
  end
  local held, bytes = number(other .. "held"), number(other .. "heldBytes")
  local sums = redis.call("HMGET", useKey, "*4", "*6")
  local total = tonumber(sums[1] or 0) + tonumber(sums[2] or 0)
  if held < maxFrames and bytes + #frame <= maxBytes and total + #frame <= maxTotal then
    redis.call("RPUSH", holdKey[other], token .. " " .. kind .. " " .. frame)
    set(other .. "held", held + 1)
    set(other .. "heldBytes", bytes + #frame)
    keep(holdKey[other], relayHold)
    if not peer then
      redis.call("ZADD", holdsKey, digits(tonumber(room[other .. "leftAt"]) + relayHold), appId)
      keep(holdsKey, relayHold)
    end
    return answer("held")
  end
  if not peer then
    return answer("hold_full")
  end
  begin(other, maxFrames, maxBytes)
end
deliver(other, kind, frame, maxFrames, maxBytes)
return answer("delivered", number(other .. "out"))
