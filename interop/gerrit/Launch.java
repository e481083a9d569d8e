/** Makes a Gerrit site in the folder that is named, or completes one, and serves it until it is killed. */
public class Launch {
    public static void main(String[] args) throws Exception {
        String site = args[0];
        int status = new com.google.gerrit.pgm.Init().main(new String[] {
            "-d", site, "--batch", "--dev", "--no-auto-start", "--skip-plugins", "--skip-all-downloads"
        });
        if (status == 0) {
            status = new com.google.gerrit.pgm.Daemon().main(new String[] {"-d", site, "--console-log", "--headless"});
        }
        System.exit(status);
    }
}
