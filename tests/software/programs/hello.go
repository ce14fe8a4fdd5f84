package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

func main() {
	go http.ListenAndServe(":80", http.HandlerFunc(func(answer http.ResponseWriter, asked *http.Request) {
		fmt.Fprint(answer, "hello ", asked.Host)
	}))
	for n := 0; n < 100; n++ {
		if answer, err := http.Get("http://go/"); err == nil {
			io.Copy(os.Stdout, answer.Body)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	os.Exit(1)
}
