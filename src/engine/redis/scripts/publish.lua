-- Relays frames, or holds them for a side that is between two sockets: each as if it came alone.
-- ARGV[13…] most frames and bytes held, then each frame's type and the frame
-- Answers published, the number of the last frame sent, then for each frame delivered | held | no_peer
--   | hold_full | hold_share; or lost | gone
local maxFrames, maxBytes = tonumber(ARGV[13]), tonumber(ARGV[14])
if not mine then
  return answer(seatLost())
end
local peer = room[other .. "token"]
local leftAt = tonumber(room[other .. "leftAt"])

-- What this negotiation does not need any more.
local function dropEarlier()
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
end

local function publish(kind, frame)
  if not (peer and room[other .. "on"]) then
    if not peer and (not leftAt or now >= leftAt + relayHold) then
      return "no_peer"
    end
    if kind == "offer" and number(other .. "held") > 0 then
      dropEarlier()
    end
    countNow()
    local held, bytes = number(other .. "held"), number(other .. "heldBytes")
    local full = held >= maxFrames or bytes + #frame > maxBytes
    local bound = full and "full" or boundAgainst(entryCost + #frame)
    if not bound then
      redis.call("RPUSH", holdKey[other], token .. " " .. kind .. " " .. frame)
      set(other .. "held", held + 1)
      set(other .. "heldBytes", bytes + #frame)
      keep(holdKey[other], relayHold)
      if not peer then
        lookAgain(leftAt + relayHold)
      end
      return "held"
    end
    if not peer then
      return bound == "full" and "hold_full" or "hold_share"
    end
    begin(other, maxFrames, maxBytes)
  end
  deliver(other, kind, frame, maxFrames, maxBytes)
  return "delivered"
end

local outcomes = {}
for i = 15, #ARGV, 2 do
  outcomes[#outcomes + 1] = publish(ARGV[i], ARGV[i + 1])
end
return answer("published", number(other .. "out"), unpack(outcomes))
