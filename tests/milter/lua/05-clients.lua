-- Clients of every family, macros of every kind, and bodies of some size.
dofile(folder .. "/lib.lua")

for _, ip in ipairs({ "192.0.2.7", "2001:db8::7", "unspec" }) do
    local conn = offered(6, ACTIONS, STEPS)
    done("macros", mt.macro(conn, SMFIC_CONNECT, "j", "mx.example"))
    done("connect", mt.conninfo(conn, "[" .. ip .. "]", ip))
    -- For a command that has not come yet.
    done("macros", mt.macro(conn, SMFIC_HELO, "{tls_version}", "TLSv1.3", "cipher", "x"))
    done("helo", mt.helo(conn, "client with spaces"))
    done("macros", mt.macro(conn, SMFIC_MAIL, "{auth_authen}", "anna", "i", "early"))
    envelope(conn, "A1", "<anna@example.org>", "<support@shop.example>")
    done("data", mt.data(conn))
    field(conn, "Subject", "hello")
    done("eoh", mt.eoh(conn))
    done("body", mt.bodyrandom(conn, 300000))
    done("eom", mt.eom(conn))
    said(conn, ip, "accept")
    done("disconnect", mt.disconnect(conn))
end
