-- Renews the lease of a seat.
-- Answers ok out last peerToken peerNode | lost | gone
if not mine then
  return answer(seatLost())
end
set(side .. "lease", real + leaseMs)
set(side .. "node", me)
codeState()
local peer = room[other .. "token"]
return answerAndKeep("ok", number(side .. "out"), number(side .. "last"),
  peer and tonumber(peer) or 0, peer and room[other .. "node"] or "")
