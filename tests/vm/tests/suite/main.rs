//! Real boots: what an operator does and sees. See the library of this package for how it is made.

mod apply;
mod archives;
mod bad_input;
mod boot_command;
mod demo;
mod disks;
mod endurance;
mod field;
mod field_archives;
mod field_images;
mod field_steps;
mod fifty;
mod firmware;
mod hammer;
mod health;
mod helpers;
mod inside;
mod memory;
mod modules;
mod notify;
mod operator;
mod order;
mod other_kernel;
mod outlive;
mod recovery;
mod reexec;
mod replace;
mod scale;
mod shop;
mod site;
mod standstill;
mod steps;
mod timers;
mod trouble;

fn main() -> std::process::ExitCode {
    vm::run(vm::scenarios![
        apply::another_configuration_is_applied_without_touching_what_is_the_same,
        bad_input::bad_input_is_named_with_what_to_do_and_good_units_run,
        boot_command::a_script_boots_asks_stops_and_cuts,
        demo::five_redis_do_what_their_operator_wants_and_keep_it_over_reboots,
        disks::foreign_disks_are_never_written,
        disks::disks_of_scsi_and_sata_controllers_hold_the_state,
        disks::a_full_and_then_damaged_state_partition_is_survived,
        endurance::reboots_in_a_row_are_clean,
        endurance::power_cuts_at_any_moment_lose_nothing_that_was_acknowledged,
        field::what_ended_badly_elsewhere_ends_well_here,
        field_steps::what_runs_beside_a_service_is_never_its_end,
        fifty::fifty_instances_of_one_template_all_answer_in_4_gib,
        firmware::the_disk_image_boots_by_firmware_and_by_kernel_and_its_containers_see_only_what_they_should,
        hammer::no_question_is_lost_on_its_way,
        health::units_say_when_they_are_ready_and_how_they_are,
        memory::a_machine_of_128_mib_with_a_disk_runs_one_unit,
        memory::less_memory_than_the_minimum_is_refused_and_the_minimum_named,
        notify::what_containers_say_is_heard_and_what_goes_beside_them_is_done,
        order::units_start_in_their_order_and_the_machine_says_why,
        other_kernel::another_kernel_runs_a_machine_that_leaves_its_disk_alone,
        outlive::containers_outlive_their_supervisor_its_helpers_and_their_former_version,
        recovery::a_machine_comes_back_from_a_panic_a_cut_and_a_disk_that_hangs,
        recovery::little_space_leaves_modules_in_memory_and_the_chip_sets_watchdog_is_fed,
        standstill::a_boot_that_comes_to_nothing_is_begun_again_twice,
        standstill::boots_beside_busy_loops_get_to_their_units,
        scale::hundreds_of_units_start_and_stop_in_2_gib_and_pid_1_goes_on_answering,
    ])
}

/// Who gets transparent huge pages: the word in brackets (transhuge.rst).
fn huge_pages(guest: &vm::Guest, unit: &str) -> String {
    let text = guest.shell(unit, "cat /sys/kernel/mm/transparent_hugepage/enabled");
    let chosen = text.split(['[', ']']).nth(1);
    chosen.unwrap_or_default().to_owned()
}
