package node_test

import "github.com/raptorflow/tercet/internal/consistency"

func session(t consistency.Token) consistency.Level { return consistency.Session(t) }
