-- Passes a question on to the node of the occupant with this token.
-- ARGV[11] the question's id
-- Answers asked | gone
if not mine then
  return answer("gone")
end
tell(side, "probe", ARGV[11] .. " " .. me)
return answer("asked")
