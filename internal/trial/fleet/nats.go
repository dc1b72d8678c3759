package fleet

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// natsReady is how long the embedded server may take to start.
const natsReady = 20 * time.Second

// StartNATS starts an embedded server with JetStream in dir. It listens only
// if listen says where: the parts reach it within the process.
func StartNATS(dir, listen string) (*server.Server, error) {
	o := &server.Options{
		ServerName: "trial",
		JetStream:  true,
		StoreDir:   dir,
		NoSigs:     true, // signals are the command's
		NoLog:      true,
		DontListen: listen == "",
	}
	if listen != "" {
		o.Host, o.Port = listen, server.RANDOM_PORT
	}
	s, err := server.NewServer(o)
	if err != nil {
		return nil, fmt.Errorf("embedded NATS server: %w", err)
	}
	s.Start()
	if !s.ReadyForConnections(natsReady) {
		StopNATS(s)
		return nil, errors.New("embedded NATS server: not ready within " + natsReady.String())
	}
	return s, nil
}

func StopNATS(s *server.Server) {
	s.Shutdown()
	s.WaitForShutdown()
}

// dial opens a connection within the process.
func (f *Fleet) dial(name string) (*nats.Conn, error) {
	nc, err := nats.Connect("", nats.InProcessServer(f.nats), nats.Name(name))
	if err != nil {
		return nil, fmt.Errorf("connect %s to NATS: %w", name, err)
	}
	return nc, nil
}
