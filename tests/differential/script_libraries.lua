local function text(v, depth)
 local kind = type(v)
 if kind == 'string' then return "'" .. v:gsub("[%c'\\\127-\255]", function(c) return ('\\%03d'):format(c:byte()) end) .. "'" end
 if kind == 'number' then return ('%.17g'):format(v) end
 if kind == 'table' then if depth > 20 then return '...' end
 local r = {} for k, x in pairs(v) do r[#r + 1] = text(k, depth + 1) .. '=' .. text(x, depth + 1) end return '{' .. table.concat(r, ' ') .. '}' end
 if v == cjson.null then return 'null' end
 if kind == 'function' or kind == 'thread' then return kind end
 return tostring(v)
 end
local function show(...)
 local r = {} for i = 1, select('#', ...) do r[i] = text((select(i, ...)), 0) end
 return table.concat(r, ' ') end
