package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/build/maintner"
	"golang.org/x/build/maintner/maintnerd/gcslog"
	"golang.org/x/build/maintner/maintpb"
)

// follow prints {"issues": N, "error": TEXT, "split": BOOL} after each update, until the log splits.
func follow(server, cache string) error {
	log.SetOutput(io.Discard)
	out := json.NewEncoder(os.Stdout)
	corpus := new(maintner.Corpus)
	err := corpus.Initialize(context.Background(), maintner.NewNetworkMutationSource(server, cache))
	for {
		issues := 0
		corpus.GitHub().ForeachRepo(func(repo *maintner.GitHubRepo) error {
			return repo.ForeachIssue(func(*maintner.GitHubIssue) error {
				issues++
				return nil
			})
		})
		step := object{"issues": issues, "split": errors.Is(err, maintner.ErrSplit)}
		if err != nil {
			step["error"] = err.Error()
		}
		if err := out.Encode(step); err != nil {
			return err
		}
		if step["split"] == true {
			return nil
		}
		err = corpus.Update(context.Background())
	}
}

// serve prints {"address": HOST:PORT}, keeps the bucket's objects as files in dir too, if that is given, from which it goes on, and logs mutations as it is told by lines of standard input, each how many issues and how
// long their texts: it answers each with {"ok": true}.
func serve(dir string) error {
	log.SetOutput(io.Discard)
	out := json.NewEncoder(os.Stdout)
	bucket := &bucket{objects: make(map[string][]byte), dir: dir}
	if err := bucket.load(); err != nil {
		return err
	}
	cloud := httptest.NewServer(bucket)
	os.Setenv("STORAGE_EMULATOR_HOST", cloud.Listener.Addr().String())
	leader, err := gcslog.NewGCSLog(context.Background(), "maintner")
	if err != nil {
		return err
	}
	logs := http.NewServeMux()
	leader.RegisterHandlers(logs)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go http.Serve(listener, elsewhere{logs, cloud.URL})
	if err := out.Encode(object{"address": listener.Addr().String()}); err != nil {
		return err
	}
	number := int32(0)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var issues, size int
		if _, err := fmt.Sscan(lines.Text(), &issues, &size); err != nil {
			return err
		}
		for range issues {
			number++
			issue := &maintpb.GithubIssueMutation{Owner: "golang", Repo: "go", Number: number, Title: "x", Body: strings.Repeat("x", size)}
			if err := leader.Log(&maintpb.Mutation{GithubIssue: issue}); err != nil {
				return err
			}
		}
		if err := out.Encode(object{"ok": true}); err != nil {
			return err
		}
	}
	return lines.Err()
}

// elsewhere lets the addresses of the cloud lead to our own one.
type elsewhere struct {
	logs  http.Handler
	cloud string
}

func (e elsewhere) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/logs" {
		e.logs.ServeHTTP(w, r)
		return
	}
	answer := httptest.NewRecorder()
	e.logs.ServeHTTP(answer, r)
	for key, values := range answer.Header() {
		if key != "Content-Length" {
			w.Header()[key] = values
		}
	}
	w.WriteHeader(answer.Code)
	io.WriteString(w, strings.ReplaceAll(answer.Body.String(), "https://storage.googleapis.com/", e.cloud+"/"))
}

// bucket plays as much of a storage bucket as the leader of a log needs.
type bucket struct {
	mu      sync.Mutex
	objects map[string][]byte
	// dir has a copy of each object, unless it is empty.
	dir string
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	name := path.Base(r.URL.Path)
	switch {
	case r.Method == "POST" && strings.HasPrefix(r.URL.Path, "/upload/"):
		name, content, err := upload(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		b.objects[name] = content
		if b.dir != "" {
			if err := os.WriteFile(filepath.Join(b.dir, name), content, 0o600); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
		json.NewEncoder(w).Encode(about(name, content))
	case r.Method == "DELETE":
		delete(b.objects, name)
		if b.dir != "" {
			os.Remove(filepath.Join(b.dir, name))
		}
		w.WriteHeader(http.StatusNoContent)
	case r.Method == "GET" && name == "o":
		items := []object{}
		for name, content := range b.objects {
			items = append(items, about(name, content))
		}
		json.NewEncoder(w).Encode(object{"kind": "storage#objects", "items": items})
	case r.Method == "GET" && b.objects[name] != nil:
		http.ServeContent(w, r, name, time.Time{}, strings.NewReader(string(b.objects[name])))
	default:
		http.NotFound(w, r)
	}
}

// load takes what somebody else left in dir.
func (b *bucket) load() error {
	if b.dir == "" {
		return nil
	}
	files, err := os.ReadDir(b.dir)
	if err != nil {
		return err
	}
	for _, file := range files {
		if b.objects[file.Name()], err = os.ReadFile(filepath.Join(b.dir, file.Name())); err != nil {
			return err
		}
	}
	return nil
}

func about(name string, content []byte) object {
	return object{"kind": "storage#object", "name": name, "bucket": "maintner", "size": fmt.Sprint(len(content)),
		"timeCreated": time.Now().UTC().Format(time.RFC3339Nano)}
}

// upload reads what one request has: a part that describes the object, and one that is it.
func upload(r *http.Request) (name string, content []byte, err error) {
	_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return "", nil, err
	}
	parts := multipart.NewReader(r.Body, params["boundary"])
	described, err := parts.NextPart()
	if err != nil {
		return "", nil, err
	}
	var description struct{ Name string }
	if err := json.NewDecoder(described).Decode(&description); err != nil {
		return "", nil, err
	}
	data, err := parts.NextPart()
	if err != nil {
		return "", nil, err
	}
	content, err = io.ReadAll(data)
	return description.Name, content, err
}
