package process

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const natsModule = "github.com/nats-io/nats-server/v2"

// NATSServer is a running nats-server with JetStream and file storage. Killed
// and restarted, it comes back on the same port with the same data.
type NATSServer struct {
	*Process
	url   string
	dir   string
	login nats.Option // of whoever asks whether the server is ready
}

// URL returns the address that clients connect to.
func (s *NATSServer) URL() string { return s.url }

// Dir returns the server's directory; its data lies in "data" below it.
func (s *NATSServer) Dir() string { return s.dir }

// NATSOption changes how a nats-server is started.
type NATSOption func(*natsConfig)

type natsConfig struct {
	sync    string // sync_interval of JetStream
	extra   []string
	name    string
	client  int
	route   int // 0: not clustered
	routes  []int
	dataDir string
	login   nats.Option
}

// SyncAlways lets the server write every record to the disk itself before it
// acknowledges (sync_interval: always). The server's default, which tests use
// otherwise, is to do so every two minutes.
func SyncAlways() NATSOption { return func(c *natsConfig) { c.sync = "always" } }

// ServerConfig adds lines to the server's configuration file.
func ServerConfig(lines string) NATSOption {
	return func(c *natsConfig) { c.extra = append(c.extra, lines) }
}

// LoginAs names the user as whom the server is asked whether it is ready, where
// its configuration has accounts.
func LoginAs(user, password string) NATSOption {
	return func(c *natsConfig) { c.login = nats.UserInfo(user, password) }
}

// NATS starts one nats-server and waits until JetStream answers.
func NATS(t testing.TB, opts ...NATSOption) *NATSServer {
	t.Helper()
	s := startNATS(t, natsConfig{name: "n0", client: FreePort(t)}, opts)
	s.AwaitReady()
	return s
}

// AwaitReady waits until JetStream answers, as after a Restart.
func (s *NATSServer) AwaitReady() {
	s.t.Helper()
	s.waitFor("JetStream", func() error { return probeJetStream(s, 1) })
}

// NATSCluster starts n nats-servers as one cluster and waits until they store
// a stream on all of them.
func NATSCluster(t testing.TB, n int, opts ...NATSOption) []*NATSServer {
	t.Helper()
	routes := make([]int, n)
	for i := range routes {
		routes[i] = FreePort(t)
	}
	servers := make([]*NATSServer, n)
	for i := range servers {
		servers[i] = startNATS(t, natsConfig{
			name: fmt.Sprintf("n%d", i), client: FreePort(t), route: routes[i], routes: routes,
		}, opts)
	}
	AwaitCluster(servers)
	return servers
}

// AwaitCluster waits until every one of the servers, which must all run, lets
// a client store a stream on all of them, as after a Restart of one.
func AwaitCluster(servers []*NATSServer) {
	for _, s := range servers {
		s.t.Helper()
		s.waitFor("a stream on all servers", func() error { return probeJetStream(s, len(servers)) })
	}
}

// ClusterURL returns the addresses of all servers, as nats.Connect takes them.
func ClusterURL(servers []*NATSServer) string {
	urls := make([]string, len(servers))
	for i, s := range servers {
		urls[i] = s.url
	}
	return strings.Join(urls, ",")
}

func startNATS(t testing.TB, c natsConfig, opts []NATSOption) *NATSServer {
	t.Helper()
	for _, o := range opts {
		o(&c)
	}
	dir := t.TempDir()
	c.dataDir = filepath.Join(dir, "data")
	file := filepath.Join(dir, "nats-server.conf")
	if err := os.WriteFile(file, []byte(c.text()), 0o600); err != nil {
		t.Fatalf("configure nats-server: %v", err)
	}
	return &NATSServer{
		Process: start(t, dir, NATSBinary(t), "-c", file),
		url:     "nats://" + loopback(c.client),
		dir:     dir,
		login:   c.login,
	}
}

func (c *natsConfig) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "server_name: %s\nlisten: %q\n", c.name, loopback(c.client))
	fmt.Fprintf(&b, "jetstream {\n  store_dir: %q\n", c.dataDir)
	if c.sync != "" {
		fmt.Fprintf(&b, "  sync_interval: %s\n", c.sync)
	}
	b.WriteString("}\n")
	if c.route != 0 {
		fmt.Fprintf(&b, "cluster {\n  name: test\n  listen: %q\n  routes: [\n", loopback(c.route))
		for _, r := range c.routes {
			fmt.Fprintf(&b, "    \"nats://%s\"\n", loopback(r))
		}
		b.WriteString("  ]\n}\n")
	}
	for _, e := range c.extra {
		b.WriteString(e + "\n")
	}
	return b.String()
}

// probeJetStream proves that a client of s can keep a stream on as many servers.
func probeJetStream(s *NATSServer, servers int) error {
	nc, err := nats.Connect(s.url, nats.NoReconnect(), nats.Timeout(time.Second), s.login)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if servers == 1 {
		_, err := js.AccountInfo(ctx)
		return err
	}
	const probe = "PROCESS_PROBE"
	_, err = js.CreateOrUpdateStream(ctx, jetstream.StreamConfig{
		Name: probe, Subjects: []string{"process.probe"}, Replicas: servers, Storage: jetstream.MemoryStorage,
	})
	if err != nil {
		return err
	}
	return js.DeleteStream(ctx, probe)
}

var natsBinary struct {
	sync.Mutex
	path string
}

// NATSBinary is [LocateNATS] for a test.
func NATSBinary(t testing.TB) string {
	t.Helper()
	path, err := LocateNATS()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// LocateNATS returns the path of a nats-server of the version that go.mod pins.
// It is built once per version, into the user's cache directory;
// TERCET_TEST_NATS_SERVER names another one. Debian's is years too old.
func LocateNATS() (string, error) {
	if path := os.Getenv("TERCET_TEST_NATS_SERVER"); path != "" {
		return path, nil
	}
	natsBinary.Lock()
	defer natsBinary.Unlock()
	if natsBinary.path != "" {
		return natsBinary.path, nil
	}
	path, err := buildNATS()
	if err != nil {
		return "", fmt.Errorf("build nats-server: %w\nor name one in TERCET_TEST_NATS_SERVER", err)
	}
	natsBinary.path = path
	return path, nil
}

func buildNATS() (string, error) {
	version, err := goTool("list", "-m", "-f", "{{.Version}}", natsModule)
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "tercet-test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dir, "nats-server-"+version)
	unlock, err := lockFile(path + ".lock")
	if err != nil {
		return "", err
	}
	defer unlock()
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	// Built beside its place and moved there: a build that was cut short must
	// not be taken for a server.
	if _, err := goTool("build", "-o", path+".new", natsModule); err != nil {
		return "", err
	}
	return path, os.Rename(path+".new", path)
}

// lockFile takes an exclusive lock between processes: packages' tests run in
// parallel.
func lockFile(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() { f.Close() }, nil
}

func goTool(args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return strings.TrimSpace(string(out)), nil
}
