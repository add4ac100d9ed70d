-- Looks at a room whose lease or time is over; what the looking itself changes is all.
-- Answers 1 when the room exists, else 0
if not room.started then
  forget()
  return answer(0)
end
return answerAndKeep(1)
