package dashboard

// Writes what the configuration of golang.org/x/build says, as vectors for the tests of dashboard-config. It stands in the package
// golang.org/x/build/dashboard at commit ce4ab8eee5f9e0633d12454f2e5b19824b73f4a7 (2022-02-03), because what it asks is not exported:
//
//	go test -mod=mod -run TestVectors ./dashboard -args DIRECTORY

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"golang.org/x/build/buildenv"
	"golang.org/x/build/repos"
)

func TestVectors(t *testing.T) {
	var names, projects []string
	for name := range Builders {
		names = append(names, name)
	}
	for project := range repos.ByGerritProject {
		projects = append(projects, project)
	}
	sort.Strings(names)
	sort.Strings(projects)

	bases := []string{"master", "dev.boringcrypto", "dev.boringcrypto.go1.17", "dev.link", "dev.typeparams", "dev.unified", "other", "release-branch.go2.1"}
	for minor := 9; minor <= 19; minor++ {
		bases = append(bases, fmt.Sprintf("release-branch.go1.%d", minor))
	}
	branches := []string{"master", "other", "release-branch.go1.17"}
	// One line for all builders that decide alike: a bit for each case, in the order of the loops, four to a hexadecimal digit.
	alike := map[string][]string{}
	for _, name := range names {
		b := Builders[name]
		for mode, builds := range map[string]func(repo, branch, goBranch string) bool{"post-submit": b.BuildsRepoPostSubmit, "try": b.BuildsRepoTryBot} {
			var bits []bool
			for _, base := range bases {
				bits = append(bits, builds("go", base, base))
			}
			for _, project := range projects {
				for _, branch := range branches {
					for _, base := range bases {
						bits = append(bits, project != "go" && builds(project, branch, base))
					}
				}
			}
			key := mode + "\t" + hex(bits)
			alike[key] = append(alike[key], name)
		}
	}
	var lines []string
	for key, names := range alike {
		lines = append(lines, key+"\t"+strings.Join(names, " ")+"\n")
	}
	sort.Strings(lines)
	policies := fmt.Sprintf("projects\t%s\nbranches\t%s\nbases\t%s\n%s",
		strings.Join(projects, " "), strings.Join(branches, " "), strings.Join(bases, " "), strings.Join(lines, ""))

	tests := []string{"api", "reboot", "test:0_1", "doc_progs", "wiki", "bench_go1", "codewalk", "runtime:cpu124", "race", "moved_goroot",
		"go_test:cmd/go", "go_test:cmd/internal/x", "go_test:net", "go_test:cmd/vendor/golang.org/x/arch/x", "nolibgcc:crypto/x509", "cgo_test"}
	var derived strings.Builder
	for _, name := range names {
		b := Builders[name]
		h := b.HostConfig()
		var skipped [2][]string
		for i, normalTry := range []bool{false, true} {
			for _, test := range tests {
				if !b.ShouldRunDistTest(test, normalTry) {
					skipped[i] = append(skipped[i], test)
				}
			}
		}
		put := func(key string, value interface{}) { fmt.Fprintf(&derived, "%s\t%s\t%v\n", name, key, value) }
		put("host", b.HostType)
		put("goos", b.GOOS())
		put("goarch", b.GOARCH())
		put("all", strings.Join(append([]string{b.AllScript()}, b.AllScriptArgs()...), " "))
		put("make", b.MakeScript())
		put("goroot_final", b.GorootFinal())
		put("race", b.IsRace())
		put("long", b.IsLongTest())
		put("race_packages", strings.Join(b.GoInstallRacePackages(), " "))
		put("split", b.SplitMakeRun())
		put("timeout", b.DistTestsExecTimeout(nil).Minutes())
		put("helpers", fmt.Sprint(b.NumTestHelpers(true), "/", b.NumTestHelpers(false)))
		put("pool", h.PoolName())
		put("hermetic", h.IsHermetic())
		if !h.IsReverse {
			put("machine", fmt.Sprint(h.MachineType(), " ", h.GCENumCPU()))
		}
		put("vm_image", h.ContainerVMImage())
		put("buildlet", h.BuildletBinaryURL(buildenv.Production))
		put("bootstrap", b.GoBootstrapURL(buildenv.Production))
		put("env", strings.Join(b.Env(), " "))
		for _, repo := range []string{"go", "net", "build"} {
			put("modules "+repo, strings.Join(b.ModulesEnv(repo), " "))
		}
		put("skips post-submit", strings.Join(skipped[0], " "))
		put("skips try", strings.Join(skipped[1], " "))
	}

	dir := flag.Arg(0)
	for file, text := range map[string]string{"policies.tsv": policies, "derived.tsv": derived.String()} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func hex(bits []bool) string {
	var digits strings.Builder
	for len(bits) > 0 {
		var digit int
		for i := 0; i < 4; i++ {
			digit *= 2
			if i < len(bits) && bits[i] {
				digit++
			}
		}
		fmt.Fprintf(&digits, "%x", digit)
		bits = bits[min(4, len(bits)):]
	}
	return digits.String()
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}
