-- Marks the session as established.
-- Answers the room's age in ms, or -1 when it was established already or the seat is not the asker's
if not mine or room.established then
  return answer(-1)
end
note("established", "1")
return answer(now - number("started"))
