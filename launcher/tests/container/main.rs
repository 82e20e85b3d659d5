//! The launcher from outside, as PID 1 uses it: real containers from images made here, in a mount namespace and on a
//! tmpfs of the test's own. Needs root, else nothing is tested.
//!
//! ```text
//! main ── harness: Machine (state on a tmpfs), Launch ── clone3 ──▶ launcher run ── execve ──▶ probe (this program)
//! ```
//!
//! No thread is ever started here, as `sys::clone::spawn` demands. The program in the containers is this one, with its
//! shared libraries, and does what its arguments say (`probe`).
//!
//! `cargo test -p launcher --test container -- --bench [PROGRAM]` measures instead: microseconds from clone3 to the end of
//! the report pipe, which is the execve of the workload, with the launcher built for tests or another PROGRAM.
//!
//! To add a case: a function in one of the modules, and its row in `CASES`.

mod exec;
mod failures;
mod harness;
mod image;
mod init;
mod mounts;
mod notify;
mod paths;
mod privileges;
mod probe;
mod volumes;

use harness::Machine;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

type Case = (&'static str, fn(&mut Machine));

/// Functions under their own names.
macro_rules! cases {
    ($($module:ident :: $name:ident),* $(,)?) => {
        &[$((stringify!($name), $module::$name as fn(&mut Machine))),*]
    };
}

const CASES: &[Case] = cases![
    mounts::every_container_has_the_standard_mounts,
    mounts::devices_and_links_are_those_of_the_oci_specification,
    mounts::nothing_of_the_machine_is_mounted,
    mounts::masked_paths_tell_nothing,
    mounts::read_only_paths_cannot_be_written,
    mounts::etc_files_are_the_specifications_and_writable,
    mounts::a_read_only_root_is_read_only_but_for_scratch_places,
    mounts::layers_lie_on_each_other_by_both_ways_of_mounting,
    mounts::an_image_without_layers_has_a_root,
    mounts::the_root_folder_is_the_images,
    privileges::capabilities_are_dockers_for_root_and_none_for_a_user,
    privileges::names_are_the_containers_own,
    privileges::user_group_and_home_come_from_the_image,
    privileges::a_user_may_open_standard_output_again,
    privileges::who_was_root_may_open_standard_output_again,
    privileges::environment_umask_and_working_directory_are_set,
    privileges::no_descriptor_is_left_open,
    privileges::devices_of_the_machine_cannot_be_used,
    paths::links_in_the_image_never_lead_out,
    paths::a_link_to_nowhere_in_place_of_a_folder_is_named,
    paths::a_link_in_place_of_a_system_folder_is_refused,
    paths::a_volume_through_a_link_stays_inside,
    paths::a_target_that_leads_into_proc_is_refused,
    paths::a_working_directory_through_a_descriptor_is_refused,
    paths::a_resolv_conf_that_leads_nowhere_is_replaced,
    volumes::a_volume_takes_over_the_images_content_once,
    volumes::an_images_volume_belongs_to_the_unit,
    volumes::a_bind_shows_the_machines_folder_and_can_be_read_only,
    volumes::a_tmpfs_has_its_size_and_mode,
    volumes::programs_in_a_tmpfs_run_where_the_unit_says_so,
    volumes::programs_run_in_a_tmpfs_that_a_link_leads_to_run,
    volumes::programs_run_where_a_read_only_root_is_writable,
    volumes::options_of_a_mount_are_the_units,
    volumes::a_volume_of_the_image_in_a_mount_of_the_units_is_not_made,
    volumes::the_writable_layer_is_kept_until_the_image_changes,
    notify::every_user_of_the_container_can_say_something,
    notify::a_mount_in_the_place_of_the_notify_socket_is_refused,
    notify::what_a_step_writes_to_its_root_is_gone_with_it,
    notify::a_step_can_run_while_the_units_container_does,
    failures::a_missing_image_is_named,
    failures::a_missing_command_says_where_it_was_looked_for,
    failures::what_cannot_be_executed_says_why,
    failures::an_unknown_user_is_named,
    failures::a_file_capability_that_containers_do_not_get_is_named,
    failures::what_is_too_large_for_the_kernel_is_named,
    failures::a_command_in_one_word_is_shown_as_an_array,
    failures::a_program_in_a_mount_without_exec_says_so,
    failures::a_missing_bind_source_is_named,
    failures::a_volume_on_a_file_is_refused,
    failures::a_broken_specification_is_reported,
    failures::a_launch_that_is_called_off_says_so,
    failures::a_network_that_does_not_come_is_never_the_machines_own,
    exec::a_command_joins_with_the_same_restrictions,
    exec::its_exit_status_is_passed_on,
    exec::a_terminal_is_the_commands_own,
    exec::a_missing_command_is_reported,
    exec::a_killed_launcher_takes_its_command_along,
    exec::what_a_command_leaves_behind_ends_with_it_and_is_reaped,
    exec::a_command_that_is_to_end_takes_all_it_has_started_along,
    exec::a_killed_group_leaves_no_zombies,
    exec::a_command_is_killed_for_memory_before_the_container,
    exec::the_reaper_cannot_be_looked_into,
    exec::nobody_but_the_reaper_is_between_its_starter_and_a_command,
    exec::only_its_starter_can_ask_a_command_to_end,
    exec::it_ends_with_its_container,
    exec::nobody_joins_a_container_from_outside,
    init::the_commands_status_is_the_containers,
    init::every_signal_is_handed_on,
    init::a_signal_without_a_handler_ends_the_command,
    init::what_is_left_without_a_parent_is_reaped,
    init::the_first_process_has_no_more_than_the_command,
    init::a_command_joins_it_as_any_other,
    init::a_command_that_cannot_be_executed_is_reported,
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).map(String::as_str) == Some(probe::NAME) {
        return probe::run(&arguments[2..]);
    }
    let filter = arguments
        .iter()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    if arguments.iter().any(|argument| argument == "--list") {
        CASES.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    if !harness::is_root() {
        println!("test container ... ignored, needs root (namespaces, mounts)");
        return ExitCode::SUCCESS;
    }
    harness::separate();
    if let Some(at) = arguments.iter().position(|argument| argument == "--bench") {
        bench(arguments.get(at + 1));
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for (name, case) in CASES
        .iter()
        .filter(|(name, _)| filter.is_none_or(|filter| name.contains(filter.as_str())))
    {
        let mut machine = Machine::new(name);
        let passed = catch_unwind(AssertUnwindSafe(|| case(&mut machine))).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        failed += usize::from(!passed);
    }
    println!(
        "\ntest result: {}. {failed} failed",
        if failed == 0 { "ok" } else { "FAILED" }
    );
    ExitCode::from(u8::from(failed > 0))
}

/// Starts of one container, one after the other.
const BENCH_STARTS: usize = 300;

fn bench(program: Option<&String>) {
    let mut machine = Machine::new("bench");
    machine.image().commit();
    let group = harness::Group::new();
    let mut launch = machine.launch("exit 0");
    if let Some(group) = &group {
        launch = launch.in_group(group);
    }
    if let Some(program) = program {
        launch.program.clone_from(program);
    }
    let mut microseconds: Vec<u128> = (0..BENCH_STARTS)
        .map(|_| {
            let start = std::time::Instant::now();
            let mut running = launch.start();
            let reports = running.reports();
            let taken = start.elapsed().as_micros();
            assert_eq!(reports.len(), 1, "{reports:?}");
            running.finish();
            taken
        })
        .collect();
    microseconds.sort_unstable();
    println!(
        "{}: {} starts, microseconds to execve: least {}, median {}, 9 of 10 within {}",
        launch.program,
        BENCH_STARTS,
        microseconds[0],
        microseconds[BENCH_STARTS / 2],
        microseconds[BENCH_STARTS * 9 / 10]
    );
}
