-- Stands between the room and a script for a Redis that is full: a room that does not exist adds to it.
-- Answers store_full
if not room.started then
  return answer("store_full")
end
