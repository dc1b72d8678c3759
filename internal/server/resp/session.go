package resp

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/raptorflow/tercet/internal/consistency"
)

// user is the only one there is, as in Redis without ACLs.
const user = "default"

func cmdPing(c *conn, _ context.Context, args [][]byte) error {
	switch len(args) {
	case 0:
		c.out.status("PONG")
	case 1:
		c.out.bulk(args[0])
	default:
		return replyError("ERR wrong number of arguments for 'ping' command")
	}
	return nil
}

func cmdEcho(c *conn, _ context.Context, args [][]byte) error {
	c.out.bulk(args[0])
	return nil
}

func cmdSelect(c *conn, _ context.Context, args [][]byte) error {
	n, err := strconv.Atoi(string(args[0]))
	switch {
	case err != nil:
		return errInteger
	case n != 0:
		return replyError("ERR DB index is out of range")
	}
	c.out.ok()
	return nil
}

func cmdAuth(c *conn, _ context.Context, args [][]byte) error {
	if len(args) > 2 {
		return errSyntax
	}
	name, password := []byte(user), args[len(args)-1]
	if len(args) == 2 {
		name = args[0]
	}
	if !c.srv.cfg.Password.Required() && len(args) == 1 {
		return replyError("ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?")
	}
	if err := c.authenticate(name, password); err != nil {
		return err
	}
	c.out.ok()
	return nil
}

// authenticate checks what a client gave. Without a configured password any
// password of the default user is right, as in Redis.
func (c *conn) authenticate(name, password []byte) error {
	// The comparison runs whatever the name is.
	right := !c.srv.cfg.Password.Required() || c.srv.cfg.Password.Matches(password)
	if !right || string(name) != user {
		return errWrongPass
	}
	c.authenticated = true
	return nil
}

// cmdHello answers HELLO [version [AUTH user password] [SETNAME name]].
func cmdHello(c *conn, _ context.Context, args [][]byte) error {
	proto := c.out.proto
	var name, password, client []byte
	named := false
	if len(args) > 0 {
		n, err := strconv.Atoi(string(args[0]))
		if err != nil {
			return replyError("ERR Protocol version is not an integer or out of range")
		}
		if n != 2 && n != 3 {
			return errNoProto
		}
		proto = n
		for rest := args[1:]; len(rest) > 0; {
			switch option := word(rest[0]); {
			case option == "auth" && len(rest) >= 3:
				name, password = rest[1], rest[2]
				rest = rest[3:]
			case option == "setname" && len(rest) >= 2:
				client, named = rest[1], true
				rest = rest[2:]
			default:
				return replyError("ERR Syntax error in HELLO option '" + string(rest[0][:min(len(rest[0]), 64)]) + "'")
			}
		}
	}
	if named && !plainName(client) {
		return errClientName
	}
	if name != nil {
		if err := c.authenticate(name, password); err != nil {
			return err
		}
	}
	if !c.authenticated {
		return replyError("NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol version at the same time")
	}
	if named {
		c.name = string(client)
	}
	c.out.proto = proto
	c.out.dict(7)
	c.out.text("server")
	c.out.text("tercet")
	c.out.text("version")
	c.out.text(c.srv.cfg.Version)
	c.out.text("proto")
	c.out.int(int64(proto))
	c.out.text("id")
	c.out.int(c.id)
	c.out.text("mode")
	c.out.text("standalone")
	c.out.text("role")
	c.out.text("master")
	c.out.text("modules")
	c.out.array(0)
	return nil
}

func cmdQuit(c *conn, _ context.Context, _ [][]byte) error {
	c.out.ok()
	c.closing = true
	return nil
}

func cmdReset(c *conn, _ context.Context, _ [][]byte) error {
	c.authenticated = !c.srv.cfg.Password.Required()
	c.out.proto = 2
	c.name = ""
	c.library = [2]string{}
	c.level = consistency.Level{}
	c.token = consistency.Token{}
	c.out.status("RESET")
	return nil
}

const errClientName = replyError("ERR Client names cannot contain spaces, newlines or special characters.")

// plainName reports whether a client's name is printable and without spaces.
func plainName(b []byte) bool {
	if len(b) > 256 {
		return false
	}
	for _, ch := range b {
		if ch < '!' || ch > '~' {
			return false
		}
	}
	return true
}

func cmdClient(c *conn, _ context.Context, args [][]byte) error {
	rest := args[1:]
	switch sub := word(args[0]); {
	case sub == "id" && len(rest) == 0:
		c.out.int(c.id)
	case sub == "getname" && len(rest) == 0:
		if c.name == "" {
			c.out.null()
		} else {
			c.out.text(c.name)
		}
	case sub == "setname" && len(rest) == 1:
		if !plainName(rest[0]) {
			return errClientName
		}
		c.name = string(rest[0])
		c.out.ok()
	case sub == "setinfo" && len(rest) == 2:
		return c.setInfo(rest[0], rest[1])
	case sub == "info" && len(rest) == 0:
		c.out.verbatim(c.info())
	case sub == "list" && len(rest) == 0:
		// Only itself: what other connections do is theirs.
		c.out.verbatim(c.info())
	case (sub == "no-evict" || sub == "no-touch") && len(rest) == 1 && (word(rest[0]) == "on" || word(rest[0]) == "off"):
		// Connections are never evicted, and reads touch nothing.
		c.out.ok()
	default:
		return unknownSubcommand("client", args[0])
	}
	return nil
}

func (c *conn) setInfo(what, value []byte) error {
	i := 0
	switch word(what) {
	case "lib-name":
	case "lib-ver":
		i = 1
	default:
		return replyError("ERR Unrecognized option '" + string(what[:min(len(what), 64)]) + "'")
	}
	if !plainName(value) {
		return replyError("ERR " + word(what) + " cannot contain spaces, newlines or special characters.")
	}
	c.library[i] = string(value)
	c.out.ok()
	return nil
}

func (c *conn) info() string {
	return fmt.Sprintf("id=%d addr=%s laddr=%s name=%s age=%d db=0 resp=%d lib-name=%s lib-ver=%s user=%s\n",
		c.id, c.nc.RemoteAddr(), c.nc.LocalAddr(), c.name, int(time.Since(c.began).Seconds()), c.out.proto,
		c.library[0], c.library[1], user)
}

// cmdConfig answers CONFIG GET pattern [pattern ...] for the settings that
// clients and tools ask for. Nothing can be set: configuration is the
// process's.
func cmdConfig(c *conn, _ context.Context, args [][]byte) error {
	if word(args[0]) != "get" || len(args) < 2 {
		if word(args[0]) == "set" {
			return replyError("ERR CONFIG SET is not possible: restart the node with another configuration")
		}
		return unknownSubcommand("config", args[0])
	}
	var found [][2]string
	for _, s := range [][2]string{
		{"appendonly", "no"},
		{"databases", "1"},
		{"maxclients", strconv.Itoa(c.srv.cfg.MaxConnections)},
		{"maxmemory", "0"},
		{"maxmemory-policy", "allkeys-lru"},
		{"proto-max-bulk-len", strconv.Itoa(c.srv.cfg.MaxValue)},
		{"save", ""},
		{"timeout", strconv.Itoa(int(c.srv.cfg.IdleTimeout.Seconds()))},
	} {
		for _, pattern := range args[1:] {
			if m, err := compile([]byte(strings.ToLower(string(pattern)))); err == nil && m(s[0]) {
				found = append(found, s)
				break
			}
		}
	}
	c.out.dict(len(found))
	for _, s := range found {
		c.out.text(s[0])
		c.out.text(s[1])
	}
	return nil
}

// redisVersion is the release whose commands are offered as it has them.
// Clients decide by it what they may use.
const redisVersion = "7.0.15"

func cmdInfo(c *conn, ctx context.Context, args [][]byte) error {
	wanted := func(section string) bool {
		if len(args) == 0 {
			return true
		}
		for _, a := range args {
			switch w := word(a); w {
			case section, "all", "default", "everything":
				return true
			}
		}
		return false
	}
	var s strings.Builder
	counts := c.srv.Stats()
	if wanted("server") {
		fmt.Fprintf(&s, "# Server\r\nredis_version:%s\r\nredis_mode:standalone\r\ntercet_version:%s\r\nuptime_in_seconds:%d\r\n\r\n",
			redisVersion, c.srv.cfg.Version, int(time.Since(c.srv.started).Seconds()))
	}
	if wanted("clients") {
		fmt.Fprintf(&s, "# Clients\r\nconnected_clients:%d\r\nmaxclients:%d\r\n\r\n", counts.Connected, c.srv.cfg.MaxConnections)
	}
	if wanted("stats") {
		fmt.Fprintf(&s, "# Stats\r\ntotal_connections_received:%d\r\ntotal_commands_processed:%d\r\nrejected_connections:%d\r\n\r\n",
			counts.Accepted, counts.Commands, counts.Refused)
	}
	if wanted("replication") {
		s.WriteString("# Replication\r\nrole:master\r\nconnected_slaves:0\r\n\r\n")
	}
	if wanted("tercet") {
		state := "yes"
		if err := c.srv.cache.Serving(); err != nil {
			state = "no: " + oneLine(err)
		}
		fmt.Fprintf(&s, "# Tercet\r\nserving:%s\r\nmembers:%d\r\n\r\n", state, len(c.srv.cache.Members()))
	}
	if wanted("keyspace") {
		s.WriteString("# Keyspace\r\n")
		// A node that can't count its keys still tells the rest.
		if n, err := c.srv.cache.Len(ctx); err == nil && n > 0 {
			fmt.Fprintf(&s, "db0:keys=%d,expires=%d,avg_ttl=0\r\n", n, n)
		}
	}
	c.out.verbatim(s.String())
	return nil
}
