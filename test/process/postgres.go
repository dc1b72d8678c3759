package process

import (
	"context"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// PostgresServer is a running PostgreSQL with an empty database.
type PostgresServer struct {
	*Process
	bin  string
	port int
}

// Postgres makes a cluster of the test's own, starts PostgreSQL on it (loopback,
// a free port, no sockets, no fsync) and returns once it answers. It ends with
// the test. PostgreSQL refuses to run as root: then it runs as nobody.
// Settings are more of the server's, as in "wal_level=logical".
func Postgres(t testing.TB, settings ...string) *PostgresServer {
	t.Helper()
	s := &PostgresServer{bin: postgresBin(t), port: FreePort(t)}
	dir := t.TempDir()
	as := unprivileged(t)
	if as != nil {
		// The directories above are for their owner alone.
		open(t, filepath.Dir(dir))
		if err := os.Chown(dir, int(as.Uid), int(as.Gid)); err != nil {
			t.Fatalf("give postgres its directory: %v", err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	data := filepath.Join(dir, "data")
	initdb := exec.CommandContext(ctx, filepath.Join(s.bin, "initdb"), "--pgdata", data, "--username", "tercet",
		"--auth", "trust", "--encoding", "UTF8", "--locale", "C", "--no-sync")
	initdb.Dir = dir
	initdb.SysProcAttr = &syscall.SysProcAttr{Credential: as, Pdeathsig: syscall.SIGKILL}
	if said, err := initdb.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, said)
	}
	args := []string{"-D", data, "-p", strconv.Itoa(s.port)}
	for _, setting := range append([]string{"listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "shared_buffers=16MB"}, settings...) {
		args = append(args, "-c", setting)
	}
	s.Process = startAs(t, as, dir, filepath.Join(s.bin, "postgres"), args...)
	s.awaitAnswer()
	return s
}

// Addr returns host:port.
func (s *PostgresServer) Addr() string { return loopback(s.port) }

// URL returns the address of the empty database, for any driver.
func (s *PostgresServer) URL() string { return s.URLAt(s.Addr()) }

// URLAt is URL through a proxy at addr.
func (s *PostgresServer) URLAt(addr string) string {
	return "postgres://tercet@" + addr + "/postgres?sslmode=disable"
}

func (s *PostgresServer) awaitAnswer() {
	s.t.Helper()
	s.waitFor("an answer", func() error {
		return exec.Command(filepath.Join(s.bin, "pg_isready"), "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(s.port)).Run()
	})
}

// postgresBin finds the directory of PostgreSQL's programs, which Debian keeps
// off the path.
func postgresBin(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("POSTGRES_BIN"); dir != "" {
		return dir
	}
	if found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb"); len(found) > 0 {
		return filepath.Dir(found[len(found)-1])
	}
	path := binary(t, "INITDB", "initdb", "install Debian's package postgresql, or name its directory in POSTGRES_BIN")
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return filepath.Dir(path)
}

// unprivileged returns whom a server may run as that refuses to be root's; nil
// if this process is not root.
func unprivileged(t testing.TB) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	nobody, err := user.Lookup("nobody")
	if err != nil {
		t.Fatalf("find somebody else than root: %v", err)
	}
	uid, uidErr := strconv.ParseUint(nobody.Uid, 10, 32)
	gid, gidErr := strconv.ParseUint(nobody.Gid, 10, 32)
	if uidErr != nil || gidErr != nil {
		t.Fatalf("nobody's ids are %s and %s", nobody.Uid, nobody.Gid)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}

// open lets others pass through a directory of the test's.
func open(t testing.TB, dir string) {
	t.Helper()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatalf("open %s: %v", dir, err)
	}
}
