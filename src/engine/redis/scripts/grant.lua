-- Whether there is a peer on a side that may have ICE servers.
-- ARGV[13] "1" when the room's code must have been taken
-- Answers granted | no_seat | not_redeemed
if not room[side .. "token"] then
  return answer("no_seat")
end
if ARGV[13] == "1" and codeState() ~= "used" then
  return answer("not_redeemed")
end
return answer("granted")
