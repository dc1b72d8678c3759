package resp

import (
	"context"
	"slices"
	"strings"
)

type flags uint8

const (
	// flagNoAuth: allowed before the password was given.
	flagNoAuth flags = 1 << iota
	// flagFast: does not ask the node, and needs no deadline.
	flagFast
	flagWrite
	flagRead
)

// command is one row of the table. Arity counts the name; negative: at least
// so many. Keys stand at arguments first to last (negative: from the end),
// every step-th.
type command struct {
	name              string
	arity             int
	flags             flags
	first, last, step int
	group             string
	summary           string
	// run writes the reply, or returns an error before it wrote any of it.
	run func(c *conn, ctx context.Context, args [][]byte) error
}

func (c *command) has(f flags) bool { return c.flags&f != 0 }

func (c *command) takes(args int) bool {
	if c.arity < 0 {
		return args >= -c.arity
	}
	return args == c.arity
}

// table is every command there is. It is filled once and never changed.
var table map[string]*command

func init() {
	// In a function, since COMMAND, which is in the table, reads it.
	table = make(map[string]*command)
	for _, c := range []command{
		{"get", 2, flagRead, 1, 1, 1, "string", "Returns the value of a key.", cmdGet},
		{"set", -3, flagWrite, 1, 1, 1, "string", "Sets the value of a key.", cmdSet},
		{"mget", -2, flagRead, 1, -1, 1, "string", "Returns the values of keys.", cmdMGet},
		{"mset", -3, flagWrite, 1, -1, 2, "string", "Sets the values of keys, one by one.", cmdMSet},
		{"strlen", 2, flagRead, 1, 1, 1, "string", "Returns the length of a value.", cmdStrLen},
		{"del", -2, flagWrite, 1, -1, 1, "generic", "Deletes keys everywhere.", cmdDel},
		{"unlink", -2, flagWrite, 1, -1, 1, "generic", "Deletes keys everywhere.", cmdDel},
		{"exists", -2, flagRead, 1, -1, 1, "generic", "Counts the keys that have a value.", cmdExists},
		{"expire", -3, flagWrite, 1, 1, 1, "generic", "Sets the end of this node's copy, in seconds.", cmdExpire},
		{"pexpire", -3, flagWrite, 1, 1, 1, "generic", "Sets the end of this node's copy, in milliseconds.", cmdPExpire},
		{"ttl", 2, flagRead, 1, 1, 1, "generic", "Returns the seconds until a key's end.", cmdTTL},
		{"pttl", 2, flagRead, 1, 1, 1, "generic", "Returns the milliseconds until a key's end.", cmdPTTL},
		{"type", 2, flagRead, 1, 1, 1, "generic", "Returns the type of a key's value.", cmdType},
		{"scan", -2, flagRead, 0, 0, 0, "generic", "Iterates over this node's keys.", cmdScan},

		{"ping", -1, flagFast, 0, 0, 0, "connection", "Answers.", cmdPing},
		{"echo", 2, flagFast, 0, 0, 0, "connection", "Returns its argument.", cmdEcho},
		{"auth", -2, flagNoAuth | flagFast, 0, 0, 0, "connection", "Gives the password.", cmdAuth},
		{"hello", -1, flagNoAuth | flagFast, 0, 0, 0, "connection", "Chooses the protocol.", cmdHello},
		{"select", 2, flagFast, 0, 0, 0, "connection", "Chooses the database: there is one, 0.", cmdSelect},
		{"client", -2, flagFast, 0, 0, 0, "connection", "Tells and sets what is known of this client.", cmdClient},
		{"quit", -1, flagNoAuth | flagFast, 0, 0, 0, "connection", "Ends the connection.", cmdQuit},
		{"reset", 1, flagNoAuth | flagFast, 0, 0, 0, "connection", "Makes the connection as new.", cmdReset},

		{"info", -1, 0, 0, 0, 0, "server", "Tells about the server.", cmdInfo},
		{"command", -1, flagFast, 0, 0, 0, "server", "Tells about commands.", cmdCommand},
		{"config", -2, flagFast, 0, 0, 0, "server", "Returns settings.", cmdConfig},
		{"dbsize", 1, flagRead, 0, 0, 0, "server", "Counts this node's keys.", cmdDBSize},
		{"flushall", -1, flagWrite, 0, 0, 0, "server", "Clears the domain.", cmdFlush},
		{"flushdb", -1, flagWrite, 0, 0, 0, "server", "Clears the domain.", cmdFlush},

		{"tercet.set", -3, flagWrite, 1, 1, 1, "tercet", "Sets a value with tags, priority and write concern.", cmdTercetSet},
		{"tercet.get", -2, flagRead, 1, 1, 1, "tercet", "Returns a value at a read level.", cmdTercetGet},
		{"tercet.invalidate", -2, flagWrite, 0, 0, 0, "tercet", "Fences copies by key, tag, prefix, glob or all.", cmdTercetInvalidate},
		{"tercet.level", -1, flagFast, 0, 0, 0, "tercet", "Shows or sets this connection's read level.", cmdTercetLevel},
		{"tercet.token", 1, flagFast, 0, 0, 0, "tercet", "Returns what this connection has seen.", cmdTercetToken},
		{"tercet.tier", -1, flagWrite, 0, 0, 0, "tercet", "Lists the node's tiers, or switches one off or on.", cmdTercetTier},
		{"tercet.snapshot", -1, flagWrite, 0, 0, 0, "tercet", "Makes a snapshot of this node, and returns its id.", cmdTercetSnapshot},
		{"tercet.explain", 2, flagRead, 1, 1, 1, "tercet", "Says why a key's copies would or would not be served.", cmdTercetExplain},
	} {
		table[c.name] = &c
	}
}

// longestName is the length of the longest command's name.
const longestName = 32

func lookup(name []byte) (*command, bool) {
	if len(name) > longestName {
		return nil, false
	}
	var lower [longestName]byte
	for i, b := range name {
		if 'A' <= b && b <= 'Z' {
			b += 'a' - 'A'
		}
		lower[i] = b
	}
	c, ok := table[string(lower[:len(name)])]
	return c, ok
}

func sortedCommands() []*command {
	all := make([]*command, 0, len(table))
	for _, c := range table {
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b *command) int { return strings.Compare(a.name, b.name) })
	return all
}

// unknownCommand is Redis's text, which quotes what it was given but not all
// of it.
func unknownCommand(args [][]byte) string {
	const most = 128
	clip := func(b []byte) string { return string(b[:min(len(b), most)]) }
	var s strings.Builder
	s.WriteString("ERR unknown command '" + clip(args[0]) + "', with args beginning with: ")
	for _, a := range args[1:] {
		if s.Len() > most {
			break
		}
		s.WriteString("'" + clip(a) + "' ")
	}
	return s.String()
}

// cmdCommand answers COMMAND [COUNT | LIST | INFO [name ...] | DOCS [name ...]].
func cmdCommand(c *conn, _ context.Context, args [][]byte) error {
	if len(args) == 0 {
		c.out.array(len(table))
		for _, cmd := range sortedCommands() {
			c.describe(cmd)
		}
		return nil
	}
	names := args[1:]
	switch word(args[0]) {
	case "count":
		if len(names) == 0 {
			c.out.int(int64(len(table)))
			return nil
		}
	case "list":
		if len(names) == 0 {
			c.out.array(len(table))
			for _, cmd := range sortedCommands() {
				c.out.text(cmd.name)
			}
			return nil
		}
	case "info":
		if len(names) == 0 {
			return cmdCommand(c, nil, nil)
		}
		c.out.array(len(names))
		for _, n := range names {
			if cmd, ok := lookup(n); ok {
				c.describe(cmd)
			} else {
				c.nullArray()
			}
		}
		return nil
	case "docs":
		c.documents(names)
		return nil
	}
	return unknownSubcommand("command", args[0])
}

func unknownSubcommand(name string, sub []byte) error {
	return replyError("ERR unknown subcommand or wrong number of arguments for '" +
		string(sub[:min(len(sub), 64)]) + "'. Try " + strings.ToUpper(name) + " LIST.")
}

func (c *conn) nullArray() {
	if c.out.proto == 3 {
		c.out.null()
		return
	}
	c.out.b = append(c.out.b, "*-1\r\n"...)
}

// describe writes the ten elements of a COMMAND entry.
func (c *conn) describe(cmd *command) {
	c.out.array(10)
	c.out.text(cmd.name)
	c.out.int(int64(cmd.arity))
	var words []string
	for _, f := range []struct {
		flag flags
		word string
	}{{flagWrite, "write"}, {flagRead, "readonly"}, {flagNoAuth, "no_auth"}, {flagFast, "fast"}} {
		if cmd.has(f.flag) {
			words = append(words, f.word)
		}
	}
	c.out.set(len(words))
	for _, w := range words {
		c.out.status(w)
	}
	c.out.int(int64(cmd.first))
	c.out.int(int64(cmd.last))
	c.out.int(int64(cmd.step))
	c.out.set(1)
	c.out.status("@" + cmd.group)
	c.out.array(0) // tips
	c.out.array(0) // key specifications
	c.out.array(0) // subcommands
}

func (c *conn) documents(names [][]byte) {
	var of []*command
	if len(names) == 0 {
		of = sortedCommands()
	}
	for _, n := range names {
		if cmd, ok := lookup(n); ok {
			of = append(of, cmd)
		}
	}
	c.out.dict(len(of))
	for _, cmd := range of {
		c.out.text(cmd.name)
		c.out.dict(2)
		c.out.text("summary")
		c.out.text(cmd.summary)
		c.out.text("group")
		c.out.text(cmd.group)
	}
}

// word returns an option's name in lower case; "" if it is longer than any.
func word(b []byte) string {
	if len(b) > longestName {
		return ""
	}
	return strings.ToLower(string(b))
}
