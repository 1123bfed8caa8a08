-- Writes values of any type as text; put on one line before expressions, so that their errors name line 1.
local function show(...)
    local depth = 0
    local function one(v)
        local t = type(v)
        if t == 'number' then return string.format('%.17g', v) end
        if t == 'string' then return string.format('%q', v) end
        if t == 'nil' or t == 'boolean' then return tostring(v) end
        if t ~= 'table' then return t end
        if depth == 20 then return '{...}' end
        depth = depth + 1
        local parts = {}
        for k, x in next, v do parts[#parts + 1] = '[' .. one(k) .. '] = ' .. one(x) end
        depth = depth - 1
        table.sort(parts)
        return '{' .. table.concat(parts, ', ') .. '}'
    end
    local out = {}
    for i = 1, select('#', ...) do out[i] = one((select(i, ...))) end
    return table.concat(out, ' | ')
end
