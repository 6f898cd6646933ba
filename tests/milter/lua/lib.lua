-- What the scripts share: words for replies, and conversations as far as some point.

local names = {
    [SMFIR_CONTINUE] = "continue",
    [SMFIR_ACCEPT] = "accept",
    [SMFIR_DISCARD] = "discard",
    [SMFIR_REPLYCODE] = "reply",
    [SMFIR_TEMPFAIL] = "tempfail",
    [SMFIR_REJECT] = "reject",
}

-- miltertest ends with an error's exit code and keeps its words to itself.
local function fail(what)
    mt.echo(what)
    error(what)
end

-- The last reply must be this one.
function said(conn, what, wanted)
    local reply = mt.getreply(conn)
    local got = names[reply] or tostring(reply)
    if got ~= wanted then
        fail(what .. ": " .. got .. " and not " .. wanted)
    end
end

-- A call must have succeeded.
function done(what, failed)
    if failed ~= nil then
        fail(what .. ": " .. tostring(failed))
    end
end

function holds(what, condition)
    if not condition then
        fail(what)
    end
end

-- What Postfix offers.
ACTIONS, STEPS = 0x1ff, 0x1fffff

-- A connection on which this much is offered.
function offered(version, actions, steps)
    local conn = mt.connect(socket)
    holds("no connection to " .. socket, conn ~= nil)
    -- The last two are in another order than miltertest's manual says.
    done("negotiate", mt.negotiate(conn, version, steps, actions))
    return conn
end

function client(conn)
    done("macros", mt.macro(conn, SMFIC_CONNECT, "j", "mx.example", "{daemon_name}", "smtpd"))
    done("connect", mt.conninfo(conn, "client.example", "192.0.2.7"))
    done("helo", mt.helo(conn, "client.example"))
end

function envelope(conn, id, sender, ...)
    done("mail", mt.mailfrom(conn, sender))
    said(conn, "mail", "continue")
    for _, recipient in ipairs({ ... }) do
        done("rcpt macros", mt.macro(conn, SMFIC_RCPT, "i", id))
        done("rcpt", mt.rcptto(conn, recipient))
        said(conn, "rcpt " .. recipient, "continue")
    end
end

-- One header field; miltertest puts a space in front of the value where that was agreed on.
function field(conn, name, value)
    done("header " .. name, mt.header(conn, name, value))
end

-- Content whose subject decides what becomes of it.
function content(conn, subject)
    field(conn, "Subject", subject)
    field(conn, "From", "anna@example.org")
    done("eoh", mt.eoh(conn))
    done("body", mt.bodystring(conn, "Where is it?\r\n"))
    done("eom", mt.eom(conn))
end

-- Whether our tag was inserted as it has to be.
function tagged(conn)
    local space = mt.test_option(conn, SMFIP_HDR_LEADSPC) and " " or ""
    return mt.eom_check(conn, MT_HDRINSERT, "X-Tag", space .. "t1")
end
