-- Counts a grant of ICE servers to the holder of a side.
-- ARGV[13…] "1" when the room's code must have been taken, most grants
-- Answers granted | no_seat | not_redeemed | spent
if not room[side .. "token"] then
  return answer("no_seat")
end
if ARGV[13] == "1" and codeState() ~= "used" then
  return answer("not_redeemed")
end
local grants = number(side .. "grants")
if grants >= tonumber(ARGV[14]) then
  return answer("spent")
end
note(side .. "grants", grants + 1)
return answer("granted")
