-- Passes a question on to the node of the occupant with this token.
-- ARGV[13] the question's id
-- Answers asked | gone
if not mine then
  return answer("gone")
end
tell(side, "probe", ARGV[13] .. " " .. me)
return answer("asked")
