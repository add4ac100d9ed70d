-- A library of one function, and its twin for a Redis that is full. What the rules are set up with is not
-- there yet while a library is loaded: they are set up by the first call.

-- What stands for modules of which there is no Lua.
local twins = {
  ["./lua.ts"] = function()
    return {
      call = redis.call,
      pack = cmsgpack.pack,
      unpack = cmsgpack.unpack,
      parse = cjson.decode,
      quote = cjson.encode,
      format = string.format,
      number = tonumber,
      match = string.match,
    }
  end,
  -- The measures of a text, in bytes of UTF-8 and in units of UTF-16.
  ["./text.ts"] = function()
    return {
      byteLength = function(text)
        return #text
      end,
      utf16Length = function(text)
        if not text:find("[\128-\255]") then
          return #text
        end
        local _, characters = text:gsub("[^\128-\191]", "")
        local _, pairsOfUnits = text:gsub("[\240-\247]", "")
        return characters + pairsOfUnits
      end,
    }
  end,
}
local function require(name)
  return twins[name]()
end

local inside
local function called(isFull)
  return function(_, args)
    inside = inside or setUp(require)
    return inside.called(isFull, args)
  end
end
redis.register_function(libraryName, called(false))
redis.register_function({ function_name = libraryName .. "_full", callback = called(true), flags = { "allow-oom" } })
