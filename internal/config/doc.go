// Package config reads the configuration of Tercet's binaries: command-line
// flags before TERCET_* environment variables before a YAML file before
// defaults.
//
// There is one table of settings, in settings.go. From a setting's key, say
// l1.size, follow its place in the file (l1: {size: …}), its variable
// (TERCET_L1_SIZE) and its flag (--l1-size). All binaries share one file and
// one environment; each has the flags that it uses.
//
// Guarantees:
//
//   - Nothing is guessed: an unknown key, variable or flag, a value of the
//     wrong form and a setting that is missing are errors that name the place
//     (file and line, variable or flag) and what would be right. All of them
//     are reported at once.
//   - A server never listens beyond the loopback interface without
//     authentication, unless it was told so in words.
//   - What [Config.Print] writes contains no secret.
//
// Not promised: that what the settings name (servers, files) exists; that is
// found out by whoever uses them.
//
// It is called by the mains under cmd and by nobody else.
package config
