package resp

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/raptorflow/tercet/internal/server"
	"github.com/raptorflow/tercet/internal/server/servertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// running is a server under test.
type running struct {
	*Server
	cache *servertest.Cache
	stop  func() error // ends it, once, and returns what Run returned
}

func start(t *testing.T, cfg Config) running {
	t.Helper()
	cache := servertest.New()
	return startWith(t, cfg, cache)
}

func startWith(t *testing.T, cfg Config, cache *servertest.Cache, change ...func(*Deps)) running {
	t.Helper()
	cfg.Addr = "127.0.0.1:0"
	deps := Deps{Cache: cache}
	for _, f := range change {
		f(&deps)
	}
	s, err := New(deps, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	select {
	case <-s.Listening():
	case err := <-ended:
		t.Fatal(err)
	}
	stopped := false
	stop := func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return running{s, cache, stop}
}

// inDomains runs test in front of caches of one, three and eight partitions.
func inDomains(t *testing.T, test func(t *testing.T, s running)) {
	for _, n := range []int{1, 3, 8} {
		t.Run(fmt.Sprintf("%d partitions", n), func(t *testing.T) {
			s := start(t, Config{})
			s.cache.Split(n)
			test(t, s)
		})
	}
}

func (r running) client(t *testing.T, proto int, password string) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: r.Addr().String(), Protocol: proto, Password: password, MaxRetries: -1})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// raw is a connection that sends bytes as they are.
type raw struct {
	t testing.TB
	net.Conn
	*bufio.Reader
}

func (r running) raw(t testing.TB) raw {
	t.Helper()
	c, err := net.Dial("tcp", r.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	return raw{t, c, bufio.NewReader(c)}
}

func (c raw) send(format string, args ...any) {
	c.t.Helper()
	if _, err := fmt.Fprintf(c.Conn, format, args...); err != nil {
		c.t.Fatal(err)
	}
}

func (c raw) Read(p []byte) (int, error) { return c.Reader.Read(p) }

// line reads one line of the reply.
func (c raw) line() string {
	c.t.Helper()
	s, err := c.Reader.ReadString('\n')
	if err != nil {
		c.t.Fatalf("after %q: %v", s, err)
	}
	return strings.TrimSuffix(s, "\r\n")
}

func (c raw) expect(lines ...string) {
	c.t.Helper()
	for _, want := range lines {
		if got := c.line(); got != want {
			c.t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// closed waits for the end of the connection.
func (c raw) closed() {
	c.t.Helper()
	if s, err := c.Reader.ReadString(0); err == nil || strings.Contains(err.Error(), "timeout") {
		c.t.Fatalf("not closed: %q, %v", s, err)
	}
}

func TestRESP3Differs(t *testing.T) {
	s := start(t, Config{})
	c := s.raw(t)
	c.send("HELLO 2\r\n")
	c.expect("*14", "$6", "server", "$6", "tercet", "$7", "version", "$5", "0.0.0", "$5", "proto", ":2", "$2", "id", ":1",
		"$4", "mode", "$10", "standalone", "$4", "role", "$6", "master", "$7", "modules", "*0")
	c.send("GET none\r\nCONFIG GET databases\r\nCLIENT GETNAME\r\nCOMMAND INFO nope\r\n")
	c.expect("$-1", "*2", "$9", "databases", "$1", "1", "$-1", "*1", "*-1")
	c.send("HELLO 3 SETNAME me\r\n")
	c.expect("%7")
	for range 13 + 4 {
		c.line() // as above; id, proto and counts are one line each
	}
	for c.Buffered() > 0 {
		c.line()
	}
	c.send("GET none\r\nCONFIG GET databases\r\nCLIENT GETNAME\r\nCOMMAND INFO nope\r\n")
	c.expect("_", "%1", "$9", "databases", "$1", "1", "$2", "me", "*1", "_")
	c.send("RESET\r\nGET none\r\n")
	c.expect("+RESET", "$-1")
}

func TestRedisErrors(t *testing.T) {
	s := start(t, Config{})
	for _, tc := range []struct{ send, want string }{
		{"get", "-ERR wrong number of arguments for 'get' command"},
		{"GET a b", "-ERR wrong number of arguments for 'get' command"},
		{"mset a", "-ERR wrong number of arguments for 'mset' command"},
		{"mset a 1 b", "-ERR wrong number of arguments for 'mset' command"},
		{"lpush a 1", "-ERR unknown command 'lpush', with args beginning with: 'a' '1' "},
		{"set a b bogus", "-ERR syntax error"},
		{"set a b nx xx", "-ERR syntax error"},
		{"set a b ex", "-ERR syntax error"},
		{"set a b ex 1 px 1", "-ERR syntax error"},
		{"set a b ex 1 keepttl", "-ERR syntax error"},
		{"set a b ex x", "-ERR value is not an integer or out of range"},
		{"set a b ex 0", "-ERR invalid expire time in 'set' command"},
		{"set a b px -1", "-ERR invalid expire time in 'set' command"},
		{"set a b ex 9223372036854775807", "-ERR invalid expire time in 'set' command"},
		{"expire a x", "-ERR value is not an integer or out of range"},
		{"expire a 9223372036854775807", "-ERR invalid expire time in 'expire' command"},
		{"expire a 1 nx gt", "-ERR NX and XX, GT or LT options at the same time are not compatible"},
		{"expire a 1 gt lt", "-ERR GT and LT options at the same time are not compatible"},
		{"expire a 1 soon", "-ERR Unsupported option soon"},
		{"scan x", "-ERR invalid cursor"},
		{"scan 12345", "-ERR invalid cursor: unknown, or forgotten since many other scans began; start again at 0"},
		{"scan 0 count", "-ERR syntax error"},
		{"scan 0 count 0", "-ERR syntax error"},
		{"scan 0 count x", "-ERR value is not an integer or out of range"},
		{"select 1", "-ERR DB index is out of range"},
		{"select x", "-ERR value is not an integer or out of range"},
		{"hello 4", "-NOPROTO unsupported protocol version"},
		{"hello x", "-ERR Protocol version is not an integer or out of range"},
		{"hello 3 bogus", "-ERR Syntax error in HELLO option 'bogus'"},
		{"auth x", "-ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?"},
		{"client setname \"a b\"", "-ERR Client names cannot contain spaces, newlines or special characters."},
		{"client kill", "-ERR unknown subcommand or wrong number of arguments for 'kill'. Try CLIENT LIST."},
		{"flushall now", "-ERR syntax error"},
		{"ping a b", "-ERR wrong number of arguments for 'ping' command"},
		{"config set a b", "-ERR CONFIG SET is not possible: restart the node with another configuration"},
		{"tercet.level sometimes", `-ERR level "sometimes": want eventual, bounded [ms], session <token> or strong`},
		{"tercet.get a level session !!", "-ERR malformed session token: not base64"},
		{"tercet.get a strong", "-ERR syntax error"},
		{"tercet.set a b tag", "-ERR syntax error"},
		{"tercet.set a b priority urgent", "-ERR priority must be low, normal or high"},
		{"tercet.invalidate key", "-ERR invalid scope: names no key, tag, prefix or glob; to clear the whole domain say so with All"},
		{"tercet.invalidate all everything", "-ERR syntax error"},
		{"tercet.invalidate prefix user", "-ERR invalid prefix \"user\": a prefix ends with ':', as in \"user:\"; to match within a segment use the glob \"user*\""},
		{"tercet.invalidate sub a", "-ERR scope must be KEY, TAG, PREFIX, GLOB or ALL"},
		{`set "" b`, "-ERR invalid key: empty"},
	} {
		c := s.raw(t)
		c.send("%s\r\nPING\r\n", tc.send)
		if got := c.line(); got != tc.want {
			t.Errorf("%s\n got %q\nwant %q", tc.send, got, tc.want)
		}
		c.expect("+PONG")
	}
}

func TestAuthentication(t *testing.T) {
	s := start(t, Config{Password: server.NewSecret("s3cret")})
	c := s.raw(t)
	c.send("GET a\r\nNOSUCH\r\nPING\r\nHELLO 3\r\nAUTH wrong\r\nAUTH someone s3cret\r\nAUTH default s3cret\r\nPING\r\nRESET\r\nPING\r\n")
	const noAuth = "-NOAUTH Authentication required."
	const wrong = "-WRONGPASS invalid username-password pair or user is disabled."
	c.expect(noAuth, noAuth, noAuth)
	if got := c.line(); !strings.HasPrefix(got, "-NOAUTH HELLO must be called") {
		t.Errorf("HELLO: %q", got)
	}
	c.expect(wrong, wrong, "+OK", "+PONG", "+RESET", noAuth)

	for _, proto := range []int{2, 3} {
		if err := s.client(t, proto, "s3cret").Set(t.Context(), "k", "v", 0).Err(); err != nil {
			t.Errorf("RESP%d: %v", proto, err)
		}
		if err := s.client(t, proto, "nope").Get(t.Context(), "k").Err(); err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
			t.Errorf("RESP%d with a wrong password: %v", proto, err)
		}
	}
}

func TestStrangersMaySendLittle(t *testing.T) {
	s := start(t, Config{Password: server.NewSecret("x")})
	c := s.raw(t)
	c.send("*2\r\n$3\r\nGET\r\n$20000\r\n")
	c.expect("-ERR Protocol error: invalid bulk length")
	c.closed()
	c = s.raw(t)
	c.send("*100\r\n")
	c.expect("-ERR Protocol error: invalid multibulk length")
	c.closed()
}

// Lengths near the greatest integer make redcon's own reader panic.
func TestMalformedCommandsEndOneConnection(t *testing.T) {
	s := start(t, Config{MaxValue: 1 << 20})
	for _, tc := range []struct{ send, want string }{
		{"*1\r\n$9223372036854775807\r\n", "invalid bulk length"},
		{"*1\r\n$-1\r\n", "invalid bulk length"},
		{"*1\r\n$2000000\r\n", "invalid bulk length"},
		{"*9223372036854775807\r\n", "invalid multibulk length"},
		{"*-5\r\n", "invalid multibulk length"},
		{"*x\r\n", "invalid multibulk length"},
		{"*1\n", "invalid multibulk length"},
		{"*" + strings.Repeat("1", 40), "invalid multibulk length"},
		{"*1\r\n:1\r\n", "expected '$', got ':'"},
		{"*1\r\n$1\r\nxyz", "bulk is longer than its length"},
		{"$-5\r\n\r\n", "expected '*', got '$'"},
		{strings.Repeat("a", maxInline+1), "too big inline request"},
		{`set "a`, ""},
		{"*4\r\n$4\r\nMSET\r\n$1100000\r\n" + strings.Repeat("v", 1100000) + "\r\n$1100000\r\n" + strings.Repeat("v", 1100000) + "\r\n$1100000\r\n", "command is too large"},
	} {
		c := s.raw(t)
		c.send("SET before 1\r\n")
		c.expect("+OK")
		// What came before the malformed command is carried out.
		c.send("PING\r\n%s", tc.send)
		if tc.want == "" {
			c.send("\r\n")
			tc.want = "unbalanced quotes in request"
		}
		c.expect("+PONG", "-ERR Protocol error: "+tc.want)
		c.closed()
	}
	c := s.raw(t)
	c.send("PING\r\n")
	c.expect("+PONG")
}

func TestCommandsInPieces(t *testing.T) {
	s := start(t, Config{})
	c := s.raw(t)
	whole := "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$6\r\nv\r\n\r\nw\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n\r\nPING  \"a b\"\r\n*0\r\nPING\r\n"
	for i := range len(whole) {
		c.send("%s", whole[i:i+1])
	}
	c.expect("+OK", "$6", "v", "", "w", "$3", "a b", "+PONG")
}

func TestLargeValuesAndDeepPipelines(t *testing.T) {
	s := start(t, Config{MaxValue: 4 << 20})
	rdb := s.client(t, 3, "")
	big := strings.Repeat("x", 4<<20)
	if err := rdb.Set(t.Context(), "big", big, 0).Err(); err != nil {
		t.Fatal(err)
	}
	if err := rdb.Set(t.Context(), "big", big+"x", 0).Err(); err == nil || !strings.Contains(err.Error(), "too large, at most 4194304") {
		t.Errorf("a value beyond the limit: %v", err)
	}
	keys := make([]string, 40)
	for i := range keys {
		keys[i] = "big"
	}
	got, err := rdb.MGet(t.Context(), keys...).Result()
	if err != nil || len(got) != 40 || got[39] != big {
		t.Errorf("MGET of large values: %d, %v", len(got), err)
	}
	p := rdb.Pipeline()
	for i := range 20_000 {
		p.Set(t.Context(), fmt.Sprint("k", i%100), i, 0)
		p.Get(t.Context(), fmt.Sprint("k", i%100))
	}
	cmds, err := p.Exec(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20_000 {
		if got := cmds[2*i+1].(*redis.StringCmd).Val(); got != fmt.Sprint(i) {
			t.Fatalf("reply %d is %s", i, got)
		}
	}
}

func TestQuitEndsThePipeline(t *testing.T) {
	s := start(t, Config{})
	c := s.raw(t)
	c.send("QUIT\r\nSET after 1\r\n")
	c.expect("+OK")
	c.closed()
	if n, _ := s.cache.Len(t.Context()); n != 0 {
		t.Error("a command behind QUIT was carried out")
	}
}

func TestConnectionLimits(t *testing.T) {
	s := start(t, Config{MaxConnections: 1, IdleTimeout: 50 * time.Millisecond})
	first := s.raw(t)
	first.send("PING\r\n")
	first.expect("+PONG")
	second := s.raw(t)
	second.expect("-ERR max number of clients reached")
	second.closed()
	first.closed() // idle
}

func TestSlowClientsAreDisconnected(t *testing.T) {
	s := start(t, Config{ReadTimeout: 50 * time.Millisecond})
	c := s.raw(t)
	c.send("*2\r\n$3\r\nGET\r\n") // and never the rest
	c.closed()

	s = start(t, Config{WriteTimeout: 50 * time.Millisecond})
	rdb := s.client(t, 2, "")
	if err := rdb.Set(t.Context(), "big", strings.Repeat("x", 4<<20), 0).Err(); err != nil {
		t.Fatal(err)
	}
	c = s.raw(t)
	for range 16 {
		c.send("GET big\r\n")
	}
	for s.Stats().Connected > 1 { // the client's own stays
		time.Sleep(time.Millisecond) // polling, bounded by the test's timeout
	}
}

func TestStopWaitsForCommandsButNotForEver(t *testing.T) {
	begun, release := make(chan struct{}), make(chan struct{})
	cache := servertest.New()
	cache.BeforePut = func(ctx context.Context, key string) {
		begun <- struct{}{}
		select {
		case <-release:
		case <-ctx.Done():
		}
	}
	s := startWith(t, Config{DrainTimeout: time.Hour, CommandTimeout: time.Hour}, cache)
	idle, busy := s.raw(t), s.raw(t)
	idle.send("PING\r\n")
	idle.expect("+PONG")
	busy.send("SET k v\r\n")
	<-begun
	ended := make(chan error, 1)
	go func() { ended <- s.stop() }()
	idle.closed()
	close(release)
	busy.expect("+OK")
	busy.closed()
	if err := <-ended; err != nil {
		t.Error(err)
	}

	stuck := servertest.New()
	stuck.BeforePut = func(ctx context.Context, key string) {
		begun <- struct{}{}
		<-ctx.Done()
	}
	s = startWith(t, Config{DrainTimeout: time.Millisecond, CommandTimeout: time.Hour}, stuck)
	busy = s.raw(t)
	busy.send("SET k v\r\n")
	<-begun
	if err := s.stop(); err != nil {
		t.Error(err)
	}
}

func TestAPanicEndsOneConnection(t *testing.T) {
	cache := servertest.New()
	cache.BeforeGet = func(context.Context, string) { panic("a bug") }
	s := startWith(t, Config{}, cache)
	c := s.raw(t)
	c.send("GET a\r\n")
	c.expect("-ERR internal error")
	c.closed()
	c = s.raw(t)
	c.send("PING\r\n")
	c.expect("+PONG")
}
