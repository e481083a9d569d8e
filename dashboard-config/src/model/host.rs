use std::time::Duration;

use crate::record::{record, words};
use crate::text::Env;

words! {
    /// Where the machines of a host type come from.
    pub enum Pool {
        /// Buildlet processes that the coordinator starts beside itself.
        Process = "process",
        /// Machines that dial in.
        Reverse = "reverse",
        /// Containers.
        Container = "container",
        /// Virtual machines.
        Vm = "vm",
    }
}

words! {
    /// Who runs containers and virtual machines.
    pub enum Provider {
        /// Google Compute Engine.
        Gce = "gce",
        /// Amazon EC2.
        Ec2 = "ec2",
    }
}

record! {
    /// A kind of machine: upstream's host config.
    pub struct Host named name {
        /// Where such machines come from.
        pub pool: Pool,
        /// Who runs them, for containers and virtual machines.
        pub provider: Option<Provider> = None,
        /// The platform of its buildlet, such as linux-arm-7; from the name, if not given.
        pub arch: Option<String> = None,
        /// The image of a virtual machine.
        pub vm_image: String = String::new(),
        /// The image of a container.
        pub container_image: String = String::new(),
        /// The image of the virtual machine that runs the container.
        pub konlet_vm_image: String = String::new(),
        /// The cloud's name of the machine's size; a size that suffices, if not given.
        pub machine_type: String = String::new(),
        /// Whether the disk is a spinning one.
        pub regular_disk: bool = false,
        /// The oldest processor that will do, in the cloud's words.
        pub min_cpu_platform: String = String::new(),
        /// Size of the root disk in GB; 0 is the image's.
        pub root_drive_size_gb: i64 = 0,
        /// Whether it must be able to run virtual machines itself.
        pub nested_virt: bool = false,
        /// How long a machine is kept at most; the environment's time, if not given.
        pub delete_timeout: Option<Duration> = None,
        /// How many machines should be there: of machines that dial in for the status page, of processes how many run at most.
        pub expect_num: u32 = 0,
        /// Whether a machine that dials in starts fresh for each build.
        pub hermetic_reverse: bool = false,
        /// Environment variables of everything that runs there.
        pub env: Env = Env::default(),
        /// Variables of the coordinator's own environment that processes get besides the usual ones, such as PATH and HOME; with * at the end, all that begin so.
        pub inherit_env: Vec<String> = Vec::new(),
        /// Where the buildlet is fetched from; $BUCKET is the environment's bucket of buildlets.
        pub buildlet_url: String = String::new(),
        /// Where the toolchain that builds Go is fetched from; $BUCKET as above. Empty: the machine has one.
        pub go_bootstrap_url: String = String::new(),
        /// Who looks after it.
        pub owners: Vec<String> = Vec::new(),
        /// For people.
        pub notes: String = String::new(),
        /// The user to log in as; empty: nobody can.
        pub ssh_username: String = String::new(),
    }
}

impl Host {
    /// Whether machines dial in.
    #[must_use]
    pub fn is_reverse(&self) -> bool {
        self.pool == Pool::Reverse
    }

    /// Whether a machine is fresh for each build.
    #[must_use]
    pub fn is_hermetic(&self) -> bool {
        match self.pool {
            Pool::Reverse => self.hermetic_reverse,
            Pool::Process => false,
            Pool::Container | Pool::Vm => true,
        }
    }

    /// Whether it is one of Amazon's machines.
    #[must_use]
    pub fn is_ec2(&self) -> bool {
        self.provider == Some(Provider::Ec2)
    }

    /// The pool in upstream's words, as its status page says it.
    #[must_use]
    pub fn pool_name(&self) -> &'static str {
        match self.pool {
            Pool::Reverse => "Reverse (dedicated machine/VM)",
            Pool::Process => "Local processes",
            Pool::Container | Pool::Vm if self.is_ec2() => "EC2 VM Container",
            Pool::Vm => "GCE VM",
            Pool::Container => "Container",
        }
    }

    /// The cloud's name of the machine's size; empty for machines that no cloud makes. The defaults are those of upstream in 2022.
    #[must_use]
    pub fn machine_type(&self) -> &str {
        match self.pool {
            Pool::Reverse | Pool::Process => "",
            _ if !self.machine_type.is_empty() => &self.machine_type,
            _ if self.nested_virt => "n2-standard-4",
            Pool::Container => "e2-standard-4",
            Pool::Vm => "e2-highcpu-2",
        }
    }

    /// How many processors a machine has by its cloud's name: the number after the last dash, else 0, which is unknown.
    #[must_use]
    pub fn cpus(&self) -> u32 {
        let last = self.machine_type().rsplit_once('-').map(|(_, last)| last);
        last.and_then(|last| last.parse().ok()).unwrap_or(0)
    }
}
