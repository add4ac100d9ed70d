-- Looks at a room whose lease or time is over; what the looking itself changes is all.
-- Answers 1 when the room exists, else 0
if not room.started then
  forget()
  return answer(0)
end
local lookAt
for _, of in ipairs({ "A", "B" }) do
  local ends = { tonumber(room[of .. "ringEnd"]) }
  if number(of .. "held") > 0 and room[of .. "leftAt"] then
    ends[#ends + 1] = number(of .. "leftAt") + relayHold
  end
  for _, at in ipairs(ends) do
    lookAt = math.min(lookAt or at, at)
  end
end
if lookAt then
  lookAgain(lookAt)
end
return answerAndKeep(1)
