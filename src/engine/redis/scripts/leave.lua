-- Gives a seat up.
-- Answers 1, or 0 when it is not the asker's
if not mine then
  return answer(0)
end
vacate(side, now)
if room.emptyAt and overAt() <= now then
  forget()
end
return answerAndKeep(1)
