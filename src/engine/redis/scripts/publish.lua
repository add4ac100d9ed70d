-- Relays a frame, or holds it for a side that is between two sockets.
-- ARGV[13…] type, frame, most frames and bytes held
-- Answers delivered number | held | no_peer | hold_full | hold_share | lost | gone
local kind, frame = ARGV[13], ARGV[14]
local maxFrames, maxBytes = tonumber(ARGV[15]), tonumber(ARGV[16])
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
  local full = held >= maxFrames or bytes + #frame > maxBytes
  local bound = full and "full" or boundAgainst(entryCost + #frame)
  if not bound then
    redis.call("RPUSH", holdKey[other], token .. " " .. kind .. " " .. frame)
    set(other .. "held", held + 1)
    set(other .. "heldBytes", bytes + #frame)
    keep(holdKey[other], relayHold)
    if not peer then
      lookAgain(tonumber(room[other .. "leftAt"]) + relayHold)
    end
    return answer("held")
  end
  if not peer then
    return answer(bound == "full" and "hold_full" or "hold_share")
  end
  begin(other, maxFrames, maxBytes)
end
deliver(other, kind, frame, maxFrames, maxBytes)
return answer("delivered", number(other .. "out"))
