-- Renews the lease of a seat.
-- Answers ok out last peerToken peerNode | lost | gone
if not mine then
  return answer(seatLost())
end
note(side .. "lease", real + leaseMs)
note(side .. "node", me)
codeState()
local peer = room[other .. "token"]
return answerAndKeep("ok", number(side .. "out"), number(side .. "last"),
  peer and tonumber(peer) or 0, peer and room[other .. "node"] or "")
