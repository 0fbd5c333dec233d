// Seals and opens with the Go library of age, the reference implementation, for test_age.py.
//
//	age seal RECIPIENT...   standard input to standard output
//	age open KEYS           the same; KEYS is the text of a key file
//	age keygen              a new post-quantum key and its recipient, a line each
package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"filippo.io/age"
)

func main() {
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(verb string, arguments []string) error {
	switch verb {
	case "seal":
		recipients, err := age.ParseRecipients(strings.NewReader(strings.Join(arguments, "\n")))
		if err != nil {
			return err
		}
		sealed, err := age.Encrypt(os.Stdout, recipients...)
		if err != nil {
			return err
		}
		if _, err := io.Copy(sealed, os.Stdin); err != nil {
			return err
		}
		return sealed.Close()
	case "open":
		keys, err := age.ParseIdentities(strings.NewReader(arguments[0]))
		if err != nil {
			return err
		}
		opened, err := age.Decrypt(os.Stdin, keys...)
		if err != nil {
			return err
		}
		_, err = io.Copy(os.Stdout, opened)
		return err
	case "keygen":
		key, err := age.GenerateHybridIdentity()
		if err != nil {
			return err
		}
		_, err = fmt.Printf("%s\n%s\n", key, key.Recipient())
		return err
	}
	return fmt.Errorf("unknown verb %q", verb)
}
